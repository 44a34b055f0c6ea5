"""The first tables, and the triggers that keep the audit append-only."""

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit',
    sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('by_team', sa.Text(), nullable=False),
    sa.Column('by_user', sa.Text(), nullable=False),
    sa.Column('by_name', sa.Text(), nullable=False),
    sa.Column('incident_id', sa.Text(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('data', sa.Text(), nullable=False),
    sa.Column('prev', sa.Text(), nullable=False),
    sa.Column('mac', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_audit'))
    )
    op.create_index('ix_audit_incident_id', 'audit', ['incident_id', 'seq'], unique=False)
    op.create_index('uq_audit_prev', 'audit', ['prev'], unique=True)
    op.create_table('audit_head',
    sa.Column('id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('mac', sa.Text(), nullable=False),
    sa.CheckConstraint('id = 1', name='ck_audit_head_one_row'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_head'))
    )
    op.create_table('bad_version',
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.Column('plan_id', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('system', 'model', 'version', name=op.f('pk_bad_version'))
    )
    op.create_table('counter',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('value', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_counter'))
    )
    op.create_table('debt',
    sa.Column('plan_id', sa.Text(), nullable=False),
    sa.Column('incident_id', sa.Text(), nullable=False),
    sa.Column('team_id', sa.Text(), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('opened_at', sa.BigInteger(), nullable=False),
    sa.Column('reviewed_at', sa.BigInteger(), nullable=True),
    sa.Column('reviewer_team_id', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('reviewer_user_id', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.CheckConstraint('NOT (reviewer_team_id = team_id AND reviewer_user_id = user_id)', name='ck_debt_reviewer'),
    sa.PrimaryKeyConstraint('plan_id', name=op.f('pk_debt'))
    )
    op.create_index('ix_debt_open', 'debt', ['team_id', 'user_id'], unique=False, sqlite_where=sa.text('reviewed_at IS NULL'), postgresql_where=sa.text('reviewed_at IS NULL'))
    op.create_table('event_key',
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_event_key'))
    )
    op.create_table('freeze',
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('until', sa.BigInteger(), nullable=False),
    sa.Column('by_name', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('system', name=op.f('pk_freeze'))
    )
    op.create_table('incident',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('number', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('severity', sa.Text(), nullable=False),
    sa.Column('system', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('service', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('model', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('opened_at', sa.BigInteger(), nullable=False),
    sa.Column('resolved_at', sa.BigInteger(), nullable=True),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('serial', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_incident'))
    )
    op.create_index('ix_incident_key_resolved', 'incident', ['key', 'resolved_at'], unique=False)
    op.create_index('ix_incident_newest', 'incident', ['opened_at', 'number'], unique=False)
    op.create_index('ix_incident_open', 'incident', ['state'], unique=False, sqlite_where=sa.text("state IN ('acknowledged', 'open', 'snoozed')"), postgresql_where=sa.text("state IN ('acknowledged', 'open', 'snoozed')"))
    op.create_index('uq_incident_open_key', 'incident', ['key'], unique=True, sqlite_where=sa.text("state IN ('acknowledged', 'open', 'snoozed')"), postgresql_where=sa.text("state IN ('acknowledged', 'open', 'snoozed')"))
    op.create_table('move',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('what', sa.Text(), nullable=False),
    sa.Column('from_version', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('to_version', sa.Text(), nullable=False),
    sa.Column('earliest_at', sa.BigInteger(), nullable=False),
    sa.Column('latest_at', sa.BigInteger(), nullable=False),
    sa.Column('by', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_move'))
    )
    op.create_index('uq_move_once', 'move', ['system', 'model', 'what', 'latest_at', 'to_version'], unique=True)
    op.create_table('quarantine',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.Column('raw', sa.Text(), nullable=False),
    sa.Column('why', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_quarantine'))
    )
    op.create_table('sequence',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('value', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_sequence'))
    )
    op.create_table('alert',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False),
    sa.Column('starts_at', sa.BigInteger(), nullable=False),
    sa.Column('ends_at', sa.BigInteger(), nullable=True),
    sa.Column('firing', sa.Boolean(), nullable=False),
    sa.Column('incident_id', sa.Text(), nullable=True),
    sa.Column('repeats', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('first_seen_at', sa.BigInteger(), nullable=False),
    sa.Column('last_seen_at', sa.BigInteger(), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['incident_id'], ['incident.id'], name=op.f('fk_alert_incident_id'), initially='DEFERRED', deferrable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_alert'))
    )
    op.create_index('ix_alert_incident_id', 'alert', ['incident_id', 'firing'], unique=False)
    op.create_index('uq_alert_episode', 'alert', ['source', 'fingerprint', 'starts_at'], unique=True)
    op.create_table('outbox',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('incident_id', sa.Text(), nullable=True),
    sa.Column('lane', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('template', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('payload', sa.Text(), nullable=False),
    sa.Column('target', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('living', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('priority', sa.BigInteger(), nullable=False),
    sa.Column('attempt', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('unanswered', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('unsure', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('calling', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('revision', sa.BigInteger(), server_default=sa.text('1'), nullable=False),
    sa.Column('owner', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('fence', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('lease_until', sa.BigInteger(), nullable=True),
    sa.Column('not_before', sa.BigInteger(), nullable=False),
    sa.Column('armed_at', sa.BigInteger(), nullable=False),
    sa.Column('place_channel', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('place_ts', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('error', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('settled_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['incident_id'], ['incident.id'], name=op.f('fk_outbox_incident_id')),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_outbox'))
    )
    op.create_index('ix_outbox_incident_id', 'outbox', ['incident_id', 'state'], unique=False)
    op.create_index('ix_outbox_place', 'outbox', ['place_channel', 'place_ts'], unique=False)
    op.create_index('ix_outbox_waiting', 'outbox', ['lane', 'priority', 'seq'], unique=False, sqlite_where=sa.text("state IN ('pending', 'sending', 'unknown')"), postgresql_where=sa.text("state IN ('pending', 'sending', 'unknown')"))
    op.create_index('uq_outbox_id', 'outbox', ['id'], unique=True)
    op.create_table('plan',
    sa.Column('plan_id', sa.Text(), nullable=False),
    sa.Column('incident_id', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('target_key', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['incident_id'], ['incident.id'], name=op.f('fk_plan_incident_id')),
    sa.PrimaryKeyConstraint('plan_id', name=op.f('pk_plan'))
    )
    op.create_index('ix_plan_incident_id', 'plan', ['incident_id'], unique=False)
    op.create_index('uq_plan_target', 'plan', ['target_key'], unique=True, sqlite_where=sa.text("state IN ('approved', 'running', 'watching')"), postgresql_where=sa.text("state IN ('approved', 'running', 'watching')"))
    op.create_table('timer',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('incident_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('epoch', sa.BigInteger(), nullable=False),
    sa.Column('number', sa.BigInteger(), nullable=False),
    sa.Column('plan_id', sa.Text(), nullable=False),
    sa.Column('due_at', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['incident_id'], ['incident.id'], name=op.f('fk_timer_incident_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_timer'))
    )
    op.create_index('ix_timer_due', 'timer', ['due_at'], unique=False, sqlite_where=sa.text("state IN ('armed')"), postgresql_where=sa.text("state IN ('armed')"))
    op.create_index('uq_timer_what', 'timer', ['incident_id', 'epoch', 'kind', 'number', 'plan_id'], unique=True)
    _protect_audit()


def _protect_audit() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'audit lines are never changed or removed'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'audit lines are never changed or removed' "
        "USING ERRCODE = 'integrity_constraint_violation'; END$$"
    )
    op.execute(
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    )


def downgrade() -> None:
    raise NotImplementedError("There is no way back from the first tables; restore a backup instead.")
