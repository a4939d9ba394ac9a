"""Backups by the commands of docs/provenance.md: what was restored is a prefix, and noticed where it is too old."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.registry.conftest import KEY, ORIGIN
from tests.registry.test_log import fill, leaves_of
from tests.support.postgres import Postgres
from unikat.transparency import check_views
from unikat.transparency.mirror import Mirror
from unikat_registry.backups import back_up, restore
from unikat_registry.database import open_database, reading, writing
from unikat_registry.details import Details, find, keep
from unikat_registry.log import Log
from unikat_registry.publication import RolledBack
from unikat_registry.recovery import recover

SIZE, LATER = 250, 10  # a tile is filled in between


@pytest.fixture
def restored(engine: Engine, log: Log, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database restored from a backup of 250 entries; the log that it is of has 10 more, published."""
    fill(engine, log, SIZE)
    with writing(engine) as session:
        keep(session, 7, Details(bytes(32), {"owner": "Ada"}))
    log.publish(tmp_path / "public")
    shutil.copy(tmp_path / "public" / "checkpoint", tmp_path / "checkpoint of the backup")
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(tmp_path / "registry.db")) as connection:
            connection.execute("VACUUM INTO ?", [str(tmp_path / "backup.db")])
        go_on(engine, log, tmp_path)
        shutil.copy(tmp_path / "backup.db", tmp_path / "restored.db")
        yield f"sqlite:///{tmp_path}/restored.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    file, name = server.directory / f"{tmp_path.name}.dump", str(engine.url.database)
    where = "-h", str(server.directory), "-U", "postgres"
    server.run("pg_dump", *where, "--format=custom", "--file", str(file), name)
    go_on(engine, log, tmp_path)
    with server.new_database() as other:
        server.run("pg_restore", *where, "--exit-on-error", "--dbname", other, str(file))
        yield server.url(other)


def go_on(engine: Engine, log: Log, tmp_path: Path) -> None:
    with writing(engine) as session:
        for number in range(LATER):
            log.append(session, f"later {number}".encode())
            if number == 3:
                keep(session, SIZE + 3, Details(bytes(32), {"owner": "Bea"}))
    log.publish(tmp_path / "public")


def test_what_was_restored_is_a_prefix_of_the_log(engine: Engine, log: Log, restored: str, tmp_path: Path) -> None:
    again = open_database(restored)
    before = Log(again, ORIGIN, KEY)
    assert before.size() == SIZE
    assert before.checkpoint() == (tmp_path / "checkpoint of the backup").read_text(encoding="utf-8")
    check_views(before.checkpoint(), log.checkpoint(), KEY.verifier, log.consistency(SIZE, SIZE + LATER))
    with reading(again) as session:
        assert find(session, 7) == Details(bytes(32), {"owner": "Ada"})
    again.dispose()


def test_a_backup_that_is_older_than_what_was_published_is_refused_until_it_has_caught_up(
    engine: Engine, log: Log, restored: str, tmp_path: Path
) -> None:
    folder = tmp_path / "public"
    again = open_database(restored)
    after = Log(again, ORIGIN, KEY)
    for refused in (after.check_published, after.publish):
        with pytest.raises(RolledBack, match=f"has {SIZE + LATER} entries, and the database {SIZE}"):
            refused(folder)
    assert recover(again, after, Mirror(folder, KEY.verifier)).entries == range(SIZE, SIZE + LATER)
    after.check_published(folder)
    assert after.publish(folder) == log.checkpoint()
    assert leaves_of(again) == leaves_of(engine)
    if again.dialect.name == "sqlite":
        assert (tmp_path / "restored.db-wal").stat().st_size == 0  # names that were erased again are not in it
    assert recover(again, after, Mirror(folder, KEY.verifier)).entries == range(SIZE + LATER, SIZE + LATER)
    with reading(again) as session:
        assert find(session, SIZE + 3) is None
    again.dispose()


def test_entries_of_another_log_are_not_taken(engine: Engine, restored: str, tmp_path: Path) -> None:
    again = open_database(restored)
    after = Log(again, ORIGIN, KEY)
    with writing(again) as session:
        assert after.append(session, b"entered before anybody looked") == SIZE
    with pytest.raises(RolledBack, match=f"do not begin with the {SIZE + 1} of the database"):
        recover(again, after, Mirror(tmp_path / "public", KEY.verifier))
    assert after.size() == SIZE + 1
    again.dispose()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a lost hash": lambda file: change(file, "DELETE FROM log_nodes WHERE level = 2 AND place = 0"),
    "a lost entry": lambda file: change(file, "DELETE FROM log_entries WHERE entry = 4"),
    "another entry": lambda file: change(file, "UPDATE log_entries SET leaf = x'00' WHERE entry = 1"),
    "half a file": lambda file: os.truncate(file, file.stat().st_size // 2),
    "no database": lambda file: file.write_bytes(b"no database" * 1000),
}


def change(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_backup_is_said_to_be_damaged_and_restores_nothing(
    engine: Engine, log: Log, tmp_path: Path, damage: str
) -> None:
    fill(engine, log, 5)
    log.publish(tmp_path / "public")
    back_up(engine, ORIGIN, tmp_path / "public", tmp_path / "backup")
    DAMAGE[damage](tmp_path / "backup" / "registry.db")
    empty = open_database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(ValueError, match=r"backup/registry\.db is damaged: "):
        restore(tmp_path / "backup", empty, ORIGIN, tmp_path / "public", is_log_lost=False)
    assert leaves_of(empty) == []
    empty.dispose()
