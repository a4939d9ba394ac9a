"""What names people is erased on request, and the log stays whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.registry.conftest import KEY, ORIGIN
from unikat.transparency import salted_hash
from unikat_registry import database
from unikat_registry.database import open_database, reading, writing
from unikat_registry.details import Details, erase, find, keep
from unikat_registry.erasure import erase as erase_entries
from unikat_registry.log import Log

ADA = {"title": "Größe", "owner": "Ada Lovelace-Byron of Ockham"}


def test_the_hash_is_the_one_of_the_documents() -> None:
    salt = bytes(range(32))
    expected = "54def693e45b1d5d8e06eb434d59db8df342b29f6e37fa3a924e2f27e3d2356c"
    assert salted_hash(salt, {"owner": "Ada", "title": "Größe"}).hex() == expected
    assert salted_hash(salt, {"title": "Größe", "owner": "Ada"}).hex() == expected


def test_another_salt_gives_another_hash() -> None:
    assert len({Details.fresh(ADA).hash for _ in range(10)}) == 10


def test_a_salt_has_its_length_and_details_are_unicode() -> None:
    with pytest.raises(ValueError, match="salt: 32 random bytes, not 31"):
        salted_hash(bytes(31), ADA)
    with pytest.raises(ValueError, match="details: they hold text that is not Unicode"):
        salted_hash(bytes(32), {"owner": "\ud800"})


def test_details_are_erased_and_the_entry_is_still_proven(engine: Engine, log: Log) -> None:
    details = [Details.fresh({**ADA, "title": str(number)}) for number in range(3)]
    leaves = [b"digest " + each.hash for each in details]
    with writing(engine) as session:
        for leaf, each in zip(leaves, details, strict=True):
            keep(session, log.append(session, leaf), each)
    before = log.checkpoint()
    with writing(engine) as session:
        assert find(session, 1) == details[1]
        assert erase(session, 1)
    with writing(engine) as session:
        assert [find(session, each) for each in range(4)] == [details[0], None, details[2], None]
        assert not erase(session, 1)
        assert not erase(session, 7)
    assert log.checkpoint() == before
    for index, leaf in enumerate(leaves):
        log.prove(index).verify(leaf, KEY.verifier)


def kept(tmp_path: Path) -> tuple[Engine, Log, Details]:
    """A database in which details of entry 0 are in a file, at least."""
    engine = open_database(f"sqlite:///{tmp_path}/registry.db")
    log, details = Log(engine, ORIGIN, KEY), Details.fresh(ADA)
    with writing(engine) as session:
        keep(session, log.append(session, details.hash), details)
    assert is_in(details, tmp_path)
    return engine, log, details


def is_in(details: Details, folder: Path) -> bool:
    data = b"".join(file.read_bytes() for file in folder.iterdir())
    return details.salt in data or ADA["owner"].encode() in data


def test_erased_details_are_nowhere_in_the_files_of_sqlite_while_a_registry_runs(tmp_path: Path) -> None:
    engine, log, details = kept(tmp_path)
    with closing(sqlite3.connect(tmp_path / "registry.db")) as other:
        assert other.execute("SELECT size FROM log_size").fetchall() == [(1,)]
        assert erase_entries(engine, log, [0, 0]) == {0: 1}
        assert not is_in(details, tmp_path)
        assert erase_entries(engine, log, [0]) == {}
    with reading(engine) as session:
        assert find(session, 0) is None
    engine.dispose()


def test_whoever_erases_what_somebody_reads_all_the_while_is_told_so_and_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT", 0.1)
    engine, log, details = kept(tmp_path)
    with reading(engine) as session:
        assert find(session, 0) == details
        with pytest.raises(sqlite3.OperationalError, match="erase the same entries once more"):
            erase_entries(engine, log, [0])
    assert erase_entries(engine, log, [0]) == {}
    assert not is_in(details, tmp_path)
    engine.dispose()
