"""The gallery's database: SQLite in a file. Opening it brings its tables up to date."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

LOCK_WAIT: Final = 10.0  # seconds that a writer waits for another one's transaction
_SQLITE: Final = (
    "PRAGMA journal_mode = WAL",  # readers go on while somebody writes
    "PRAGMA synchronous = NORMAL",  # a loss of power may undo the last likes, and damages nothing
    "PRAGMA foreign_keys = ON",
)


def open_database(path: Path) -> Engine:
    """The database in the file `path`, made where there is none, migrated to the newest tables.

    Raises OSError for a file that cannot be used, and ValueError for one that is no database of this release.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a visitor likes is nobody else's business on this machine: SQLite gives its other files the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, connect_args={"timeout": LOCK_WAIT}, hide_parameters=True)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        with writing(engine) as connection:
            _migrate(connection)
    except DBAPIError as error:
        engine.dispose()
        raise ValueError(f"{path}: {error.orig}") from error
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection whose transaction is committed at the end of the block, or rolled back where that raises.

    It holds the writers' lock from its beginning, so that no transaction fails half way for want of it.
    """
    with engine.connect().execution_options(unikat_writes=True) as connection, connection.begin():
        yield connection


def _prepare(connection: SqliteConnection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own: `_begin` does
    for pragma in _SQLITE:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("unikat_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "unikat_gallery:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ValueError(f"the database was migrated by a newer release: {error}") from error
