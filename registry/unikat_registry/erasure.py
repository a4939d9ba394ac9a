"""Erasing what names people. The log says that it was done, so that it is done again after a restore."""

from __future__ import annotations

from collections.abc import Sequence
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
    are lost, which somebody might bring back. Raises ValueError for an entry that
    the log does not have, and SQLAlchemyError.
    """
    done = {}
    with writing(engine) as session:
        hold_the_log(session)
        for entry in dict.fromkeys(entries):
            if not 0 <= entry < committed(session):
                raise ValueError(f"the log has no entry {entry}")
            is_lost = entry in nameless(session)
            if is_lost:
                details.erase_again(session, entry)
            if is_lost or details.erase(session, entry):
                said = {"entry": entry, "time": now(), "type": ERASURE}
                done[entry] = log.append(session, canonical(said).encode())
    if done and engine.dialect.name == "postgresql":  # what was erased is in dead rows until then
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM log_details")
    return done
