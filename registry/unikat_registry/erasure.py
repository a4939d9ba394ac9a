"""Erasing what names people. The log says that it was done, so that it is done again after a restore."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from sqlalchemy import Engine

from unikat.canonical_json import canonical
from unikat_registry import details
from unikat_registry.certificates import now
from unikat_registry.database import writing
from unikat_registry.log import Log
from unikat_registry.tree import committed
from unikat_registry.works import hold_the_log, nameless

ERASURE: Final = "unikat.erasure.1"  # type of its entries


def erase(engine: Engine, log: Log, entries: Sequence[int]) -> dict[int, int]:
    """Remove the details of entries, and enter that into the log, in one transaction; entry -> that of its erasure.

    Entries without details, or whose details were erased before, are left out; not so those of works whose details
    are lost, which somebody might bring back. Raises ValueError for an entry that the log does not have, and what
    `overwrite` raises.
    """
    done = {}
    with writing(engine) as session:
        hold_the_log(session)
        lost = set(nameless(session))
        for entry in dict.fromkeys(entries):
            if not 0 <= entry < committed(session):
                raise ValueError(f"the log has no entry {entry}")
            if entry in lost:
                details.erase_again(session, entry)
            if entry in lost or details.erase(session, entry):
                said = {"entry": entry, "time": now(), "type": ERASURE}
                done[entry] = log.append(session, canonical(said).encode())
    overwrite(engine)
    return done


def overwrite(engine: Engine) -> None:
    """Have the bytes of erased details in the database's files no more: dead rows, and SQLite's write-ahead log.

    Raises SQLAlchemyError, and sqlite3.OperationalError where somebody reads the database all the while.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM log_details")
        return
    with closing(engine.raw_connection()) as connection:  # of SQLAlchemy's own each begins a transaction
        is_busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise sqlite3.OperationalError("somebody reads what was erased from it still: erase the same entries once more")
