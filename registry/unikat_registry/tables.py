"""The tables of the log, as the migrations make them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, SmallInteger, Table, Text

METADATA: Final = MetaData()

# One row: how many entries there are. Whoever appends holds its lock, so that the sequence has no gaps.
LOG_SIZE: Final = Table(
    "log_size",
    METADATA,
    Column("id", Integer, primary_key=True),  # 1
    Column("size", BigInteger, nullable=False),
)
ENTRIES: Final = Table(
    "log_entries",
    METADATA,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
)
# Hashes of complete subtrees of 2**level leaves; none ever changes.
NODES: Final = Table(
    "log_nodes",
    METADATA,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
# What names people. Erased details have neither salt nor text.
DETAILS: Final = Table(
    "log_details",
    METADATA,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("salt", LargeBinary, nullable=True),
    Column("text", Text, nullable=True),
)
