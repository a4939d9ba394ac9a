"""Claimed works, what they look like, and their transfers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "works",
        sa.Column("artwork", sa.LargeBinary, primary_key=True),
        sa.Column(
            "entry", sa.BigInteger, sa.ForeignKey("log_entries.entry"), nullable=False, unique=True, autoincrement=False
        ),
        sa.Column("id", sa.String(16), nullable=False, index=True),
        sa.Column("owner_key", sa.LargeBinary, nullable=False, index=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("colours", sa.LargeBinary, nullable=False),
        sa.Column("image", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
    )
    op.create_table(
        "transfers",
        sa.Column("entry", sa.BigInteger, sa.ForeignKey("log_entries.entry"), primary_key=True, autoincrement=False),
        sa.Column("artwork", sa.LargeBinary, sa.ForeignKey("works.artwork"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.UniqueConstraint("artwork", "number", name="one_chain"),
    )
