"""Drift reports, what people said about them, kept files, and what recurs."""

import sqlalchemy as sa
from alembic import op

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('drift_report',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('number', sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    sa.Column('system', sa.Text(), nullable=False),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('asked_at', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.Column('review', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('run', sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    sa.Column('document', sa.Text(), nullable=False),
    sa.Column('numbers', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_drift_report'))
    )
    still_open = sa.text("state IN ('asked', 'running')")
    op.create_index('uq_drift_report_open', 'drift_report', ['key'], unique=True, sqlite_where=still_open, postgresql_where=still_open)
    op.create_index('ix_drift_report_model', 'drift_report', ['system', 'model', 'ended_at'], unique=False)
    op.create_index('ix_drift_report_review', 'drift_report', ['review', 'number'], unique=False)
    op.create_table('drift_exit',
    sa.Column('report_id', sa.Text(), nullable=False),
    sa.Column('number', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('exit', sa.Text(), nullable=False),
    sa.Column('team_id', sa.Text(), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['report_id'], ['drift_report.id'], name=op.f('fk_drift_exit_report_id')),
    sa.PrimaryKeyConstraint('report_id', 'number', name=op.f('pk_drift_exit'))
    )
    op.create_table('report_file',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('media_type', sa.Text(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('made_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_report_file'))
    )
    op.create_index('ix_report_file_made', 'report_file', ['made_at'], unique=False)
    op.create_table('recurring',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('done_for', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_recurring'))
    )


def downgrade() -> None:
    raise NotImplementedError("There is no way back from these tables; restore a backup instead.")
