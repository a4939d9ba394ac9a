"""The registry's database: SQLite in a file, or PostgreSQL. Opening it brings its tables up to date."""

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
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

DRIVERS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}  # ours for a database without a driver's name
LOCK_WAIT: Final = 30.0  # seconds that a writer waits for another one's transaction
_READ_ONLY: Final = "unikat_read_only"  # execution option
_SQLITE: Final = (
    "PRAGMA journal_mode = WAL",  # readers go on while somebody writes
    "PRAGMA synchronous = FULL",  # a commit is on the disk when it returns: what was answered outlives a loss of power
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what is erased is overwritten
)


def open_database(url: str) -> Engine:
    """The database at `sqlite:///path` or `postgresql://user@host/name`, migrated to the newest tables.

    Raises ValueError for another URL, and for a database that a newer release migrated, and SQLAlchemyError where it
    does not answer.
    """
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            if (
                engine.dialect.name == "postgresql"
            ):  # one process migrates; SQLite's BEGIN IMMEDIATE does that by itself
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('unikat registry'))")
            _migrate(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_existing(url: str) -> Engine:
    """A database that a registry made, as it is: a running registry's is not migrated under it.

    Raises ValueError where there is none, or its tables are of another release, and SQLAlchemyError.
    """
    engine = _engine(url, must_exist=True)
    try:
        with engine.connect().execution_options(**{_READ_ONLY: True}) as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        newest = ScriptDirectory.from_config(_config()).get_current_head()
        if found != newest:
            raise ValueError(
                f"the database has the tables of migration {found}, and this release those of {newest}: use the "
                "release that serves it"
            )
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session whose transaction is committed at the end of the block, or rolled back where that raises.

    On SQLite it holds the writers' lock from its beginning, so that no transaction fails half way for want of it.
    """
    with Session(engine) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that sees what is committed now, whoever writes meanwhile, and cannot write."""
    options = {_READ_ONLY: True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}  # type: ignore[dict-item]
    with engine.connect().execution_options(**options) as connection, Session(connection) as session:
        yield session


def _engine(url: str, *, must_exist: bool = False) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("the database's URL is sqlite:///path or postgresql://user@host/name") from error
    backend, _, driver = parsed.drivername.partition("+")
    if backend not in DRIVERS or driver not in ("", "psycopg", "pysqlite"):
        raise ValueError(f"the database's URL begins with sqlite:// or postgresql://, not {parsed.drivername}://")
    if backend == "postgresql":
        postgresql = parsed.set(drivername=DRIVERS[backend])
        # Of a database that was made with the locale C, texts would come as bytes.
        utf8 = {"client_encoding": "utf8"}
        return create_engine(postgresql, pool_pre_ping=True, connect_args=utf8, hide_parameters=True)
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError("the database's URL names a file: sqlite:///path")
    if must_exist and not Path(parsed.database).is_file():
        raise ValueError(f"there is no database {parsed.database}")
    Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    # It names people: nobody else reads it, nor the files that SQLite puts beside it with the same mode.
    os.close(os.open(parsed.database, os.O_RDWR | os.O_CREAT, 0o600))
    # Errors are logged, and name nobody: parameters are hidden.
    engine = create_engine(parsed, connect_args={"timeout": LOCK_WAIT}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: SqliteConnection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own: `_begin_sqlite` does
    for pragma in _SQLITE:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ValueError(f"the database was migrated by a newer release: {error}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "unikat_registry:migrations")
    config.set_main_option("path_separator", "os")
    return config
