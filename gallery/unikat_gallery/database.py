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
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
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
    engine = _engine(str(path))
    with _opening(engine, path), writing(engine) as connection:
        _migrate(connection)
    return engine


def open_existing(path: Path) -> Engine:
    """The database in the file `path`, to be read only: a running gallery's is not migrated under it.

    Raises ValueError where there is none, and for one that is no database of this release.
    """
    engine = _engine(path.resolve().as_uri(), mode="ro", uri="true")
    with _opening(engine, path), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        newest = ScriptDirectory.from_config(_config()).get_current_head()
        if found != newest:
            raise ValueError(
                f"{path} has the tables of migration {found}, and this release those of {newest}: use the release "
                "that serves it"
            )
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection whose transaction is committed at the end of the block, or rolled back where that raises.

    It holds the writers' lock from its beginning, so that no transaction fails half way for want of it.
    """
    with engine.connect().execution_options(unikat_writes=True) as connection, connection.begin():
        yield connection


def _engine(database: str, **query: str) -> Engine:
    url = URL.create("sqlite", database=database, query=query)
    engine = create_engine(url, connect_args={"timeout": LOCK_WAIT}, hide_parameters=True)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def _opening(engine: Engine, path: Path) -> Iterator[None]:
    """Whatever is raised closes the engine; the database's errors are raised as ValueError that name the file."""
    try:
        yield
    except DBAPIError as error:
        engine.dispose()
        raise ValueError(f"{path}: {error.orig}") from error
    except BaseException:
        engine.dispose()
        raise


def _prepare(connection: SqliteConnection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own: `_begin` does
    for pragma in _SQLITE:
        connection.execute(pragma)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("unikat_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ValueError(f"the database was migrated by a newer release: {error}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "unikat_gallery:migrations")
    config.set_main_option("path_separator", "os")
    return config
