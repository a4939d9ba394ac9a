"""Votes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "votes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("visitor", sa.String(32), nullable=False),
        sa.Column("pair", sa.String(16), nullable=False),
        sa.Column("question", sa.String(8), nullable=False),
        sa.Column("purpose", sa.String(8), nullable=False),
        sa.Column("chosen", sa.Text, nullable=False),
        sa.Column("other", sa.Text, nullable=False),
        sa.Column("chose_left", sa.Boolean, nullable=False),
        sa.Column("chosen_features", sa.LargeBinary, nullable=False),
        sa.Column("other_features", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("visitor", "pair", "purpose", name="once_a_pair"),
    )
