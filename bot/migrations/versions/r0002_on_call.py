"""Stand-ins, and the last good copies of calendars."""

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('stand_in',
    sa.Column('seq', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=True, nullable=False),
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('rotation', sa.Text(), nullable=False),
    sa.Column('person', sa.Text(), nullable=False),
    sa.Column('start_at', sa.BigInteger(), nullable=False),
    sa.Column('end_at', sa.BigInteger(), nullable=False),
    sa.Column('team_id', sa.Text(), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('made_at', sa.BigInteger(), nullable=False),
    sa.Column('cancelled_at', sa.BigInteger(), nullable=True),
    sa.Column('cancelled_by', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.PrimaryKeyConstraint('seq', name=op.f('pk_stand_in'))
    )
    op.create_index('uq_stand_in_id', 'stand_in', ['id'], unique=True)
    op.create_index('ix_stand_in_end_at', 'stand_in', ['end_at'], unique=False)
    op.create_table('calendar_copy',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('body', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.Column('entries', sa.Text(), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('fetched_at', sa.BigInteger(), nullable=True),
    sa.Column('laid_out_at', sa.BigInteger(), nullable=True),
    sa.Column('tried_at', sa.BigInteger(), nullable=False),
    sa.Column('error', sa.Text(), server_default=sa.text("''"), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_calendar_copy'))
    )


def downgrade() -> None:
    op.drop_table('calendar_copy')
    op.drop_table('stand_in')
