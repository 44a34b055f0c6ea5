"""The ledger of what was in production: who, why and by which plan; since when and until when it was watched.

Its lines are never changed or removed, and the database itself sees to that.
"""

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("why", "plan_id", "told_by"):
        op.add_column("move", sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False))
    op.create_index("ix_move_latest", "move", ["system", "model", "what", "latest_at"])
    op.create_table(
        "watch",
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("system", "model", "what", name=op.f("pk_watch")),
    )
    _protect()


def _protect() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER move_no_{verb.lower()} BEFORE {verb} ON move "
                "BEGIN SELECT RAISE(ABORT, 'lines of the ledger are never changed or removed'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION move_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'lines of the ledger are never changed or removed' "
        "USING ERRCODE = 'integrity_constraint_violation'; END$$"
    )
    op.execute(
        "CREATE TRIGGER move_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON move "
        "FOR EACH STATEMENT EXECUTE FUNCTION move_is_append_only()"
    )


def downgrade() -> None:
    raise NotImplementedError("There is no way back from here without losing history; restore a backup instead.")
