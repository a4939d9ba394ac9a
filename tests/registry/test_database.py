"""Opening a database: migrations, what SQLite is told, and URLs that are none."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.registry.conftest import KEY, ORIGIN
from tests.registry.writers import CONTEXT
from tests.support import postgres
from unikat_registry.database import open_database, reading, writing
from unikat_registry.details import Details, find, keep
from unikat_registry.log import Log
from unikat_registry.tables import METADATA


def test_migrations_make_the_tables_that_the_code_declares(engine: Engine) -> None:
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), METADATA)
    of_the_database = {
        "remove_fk",
        "remove_index",
        "remove_constraint",
        "remove_table",
    }  # the code needs no names of them
    ours = [each for each in found if each[0] not in of_the_database]
    assert ours == []


def test_a_database_is_opened_again_as_it_is(database_url: str, engine: Engine) -> None:
    with writing(engine) as session:
        session.execute(text("UPDATE log_size SET size = 7"))
    again = open_database(database_url)
    with reading(again) as session:
        assert session.execute(text("SELECT size FROM log_size")).all() == [(7,)]
    again.dispose()


def test_processes_that_open_an_empty_database_at_once_migrate_it_once(database_url: str) -> None:
    with CONTEXT.Pool(3) as pool:
        pool.map(_open, [database_url] * 3)


def _open(url: str) -> None:
    open_database(url).dispose()


def test_a_database_of_a_newer_release_is_refused(database_url: str, engine: Engine) -> None:
    with writing(engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ValueError, match=r"migrated by a newer release: .*9999"):
        open_database(database_url)


def test_errors_name_nobody(engine: Engine) -> None:
    with pytest.raises(IntegrityError) as found, writing(engine) as session:
        keep(session, 7, Details.fresh({"owner": "Ada"}))
    assert "Ada" not in str(found.value)


def test_without_postgresql_its_tests_fail_where_it_is_asked_for_and_are_not_there_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "binaries", lambda: None)
    monkeypatch.delenv(postgres.REQUIRED, raising=False)
    assert postgres.kinds_of_databases() == ["sqlite"]
    monkeypatch.setenv(postgres.REQUIRED, "1")
    assert postgres.kinds_of_databases() == ["sqlite", "postgresql"]
    with pytest.raises(AssertionError, match="no PostgreSQL in PATH"), postgres.running_postgres():
        pass


@pytest.mark.skipif(not postgres.binaries(), reason="PostgreSQL is not installed")
def test_a_postgresql_that_was_made_with_the_locale_c_keeps_texts(request: pytest.FixtureRequest) -> None:
    """Its encoding is then SQL_ASCII, for which the driver gives bytes, and SQLAlchemy cannot even read the version."""
    server: postgres.Postgres = request.getfixturevalue("postgres")
    with server.new_database("template0", "SQL_ASCII") as name:
        engine = open_database(server.url(name))
        with writing(engine) as session:
            Log(engine, ORIGIN, KEY).append(session, b"entry")
            keep(session, 0, Details(bytes(32), {"owner": "Bärbel 日本"}))
        with reading(engine) as session:
            assert find(session, 0) == Details(bytes(32), {"owner": "Bärbel 日本"})
        engine.dispose()


def test_sqlite_writes_ahead_checks_keys_and_overwrites_what_is_erased(tmp_path: Path) -> None:
    file = tmp_path / "new" / "registry.db"
    engine = open_database(f"sqlite:///{file}")
    with reading(engine) as session:
        pragmas = "journal_mode", "synchronous", "foreign_keys", "secure_delete"
        assert [session.scalar(text(f"PRAGMA {each}")) for each in pragmas] == ["wal", 2, 1, 1]
        for each in file.parent.iterdir():
            assert stat.S_IMODE(each.stat().st_mode) == 0o600, each
    engine.dispose()


def test_a_reader_cannot_write_where_the_database_says_so_and_leaves_nothing(engine: Engine) -> None:
    statement = text("UPDATE log_size SET size = 7")
    with reading(engine) as session:
        if engine.dialect.name == "postgresql":
            with pytest.raises(DBAPIError, match="read-only"):
                session.execute(statement)
        else:
            session.execute(statement)
    with reading(engine) as session:
        assert session.execute(text("SELECT size FROM log_size")).all() == [(0,)]


def test_a_reader_sees_one_moment_while_somebody_writes(engine: Engine) -> None:
    def write() -> None:
        with writing(engine) as session:
            session.execute(text("UPDATE log_size SET size = size + 1"))

    with reading(engine) as session:
        before = session.scalar(text("SELECT size FROM log_size"))
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(20)
        assert not writer.is_alive(), "a reader kept a writer waiting"
        assert session.scalar(text("SELECT size FROM log_size")) == before
    with reading(engine) as session:
        assert session.scalar(text("SELECT size FROM log_size")) == 1


def test_writers_that_read_first_wait_for_one_another(engine: Engine) -> None:
    def write(_number: int) -> None:
        with writing(engine) as session:
            session.execute(text("SELECT size FROM log_size")).all()
            session.execute(text("UPDATE log_size SET size = size + 1"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(20)))
    with reading(engine) as session:
        assert session.scalar(text("SELECT size FROM log_size")) == 20


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("registry.db", "the database's URL is sqlite:///path or postgresql://"),
        ("mysql://host/name", "begins with sqlite:// or postgresql://, not mysql://"),
        ("postgresql+asyncpg://host/name", r"not postgresql\+asyncpg://"),
        ("sqlite://", "names a file"),
        ("sqlite:///:memory:", "names a file"),
    ],
)
def test_a_url_of_no_database_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_database(url)
