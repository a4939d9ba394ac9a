"""The tables, as the migrations make them. Rows are in the order of their ids."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA: Final = MetaData()

# `visitor` is what a browser's cookie says (32 hex digits), `work` the artwork's id, `recipe` the query of its link.
FAVOURITES: Final = Table(
    "favourites",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("visitor", String(32), nullable=False),
    Column("work", String(16), nullable=False),
    Column("recipe", Text, nullable=False),
    UniqueConstraint("visitor", "work", name="once_a_visitor"),
)
# The id cannot be guessed: who has it may see the album, and only its visitor changes it.
ALBUMS: Final = Table(
    "albums",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("visitor", String(32), nullable=False, index=True),
    Column("title", Text, nullable=False),
)
ALBUM_WORKS: Final = Table(
    "album_works",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("album", String(16), ForeignKey("albums.id"), nullable=False),
    Column("work", String(16), nullable=False),
    Column("recipe", Text, nullable=False),
    UniqueConstraint("album", "work", name="once_an_album"),
)
# Answers to pairs; `pair` is the same of a pair and of its repetition. Sides are JSON (votes/store.py), with features
# of what was shown. No time is kept, and nothing of the visitor but the cookie.
VOTES: Final = Table(
    "votes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("visitor", String(32), nullable=False),
    Column("pair", String(16), nullable=False),
    Column("question", String(8), nullable=False),
    Column("purpose", String(8), nullable=False),
    Column("chosen", Text, nullable=False),
    Column("other", Text, nullable=False),
    Column("chose_left", Boolean, nullable=False),
    Column("chosen_features", LargeBinary, nullable=False),
    Column("other_features", LargeBinary, nullable=False),
    UniqueConstraint("visitor", "pair", "purpose", name="once_a_pair"),
)
