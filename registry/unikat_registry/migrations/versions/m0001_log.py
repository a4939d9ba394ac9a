"""The log: its size, entries, hashes, and the details that can be erased."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and an empty log."""
    size = op.create_table(
        "log_size",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.CheckConstraint("id = 1", name="one_log"),
    )
    op.bulk_insert(size, [{"id": 1, "size": 0}])
    op.create_table(
        "log_entries",
        sa.Column("entry", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("leaf", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "log_nodes",
        sa.Column("level", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("place", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "log_details",
        sa.Column("entry", sa.BigInteger, sa.ForeignKey("log_entries.entry"), primary_key=True, autoincrement=False),
        sa.Column("salt", sa.LargeBinary, nullable=True),
        sa.Column("text", sa.Text, nullable=True),
        sa.CheckConstraint("(salt IS NULL) = (text IS NULL)", name="erased_whole"),
    )
