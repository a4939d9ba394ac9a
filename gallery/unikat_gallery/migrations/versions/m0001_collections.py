"""Favourites and albums."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "favourites",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("visitor", sa.String(32), nullable=False),
        sa.Column("work", sa.String(16), nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.UniqueConstraint("visitor", "work", name="once_a_visitor"),
    )
    op.create_table(
        "albums",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("visitor", sa.String(32), nullable=False, index=True),
        sa.Column("title", sa.Text, nullable=False),
    )
    op.create_table(
        "album_works",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("album", sa.String(16), sa.ForeignKey("albums.id"), nullable=False),
        sa.Column("work", sa.String(16), nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.UniqueConstraint("album", "work", name="once_an_album"),
    )
