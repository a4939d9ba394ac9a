"""Processes that append to one log at once."""

from __future__ import annotations

import multiprocessing
from typing import Final

from tests.registry.conftest import KEY, ORIGIN
from unikat_registry.database import open_database, writing
from unikat_registry.log import Log

CONTEXT: Final = multiprocessing.get_context("forkserver")  # no process inherits another's connections
CONTEXT.set_forkserver_preload(["tests.registry.writers"])


def append(url: str, name: str, count: int) -> list[int]:
    """Append entries, one a transaction, and let every fifth transaction fail; the indexes of those that did not."""
    engine = open_database(url)
    log = Log(engine, ORIGIN, KEY)
    indexes = []
    for number in range(count):
        try:
            with writing(engine) as session:
                indexes.append(log.append(session, f"{name} {number}".encode()))
                if number % 5 == 4:
                    raise LookupError
        except LookupError:
            indexes.pop()
    engine.dispose()
    return indexes


def append_at_once(url: str, processes: int, count: int) -> list[list[int]]:
    """The same in several processes."""
    with CONTEXT.Pool(processes) as pool:
        return pool.starmap(append, [(url, f"writer {each}", count) for each in range(processes)])
