"""The log's static files: the same for everybody, whole, and never ahead of the database."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.registry.conftest import KEY, ORIGIN
from tests.registry.test_log import fill, leaf
from unikat.files import write_whole
from unikat.transparency import Checkpoint, NoteError, SigningKey
from unikat.transparency.mirror import Mirror
from unikat_registry.database import open_database, writing
from unikat_registry.log import Log
from unikat_registry.publication import RolledBack


def files(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()} - {".lock"}


def extend(engine: Engine, log: Log, size: int) -> None:
    with writing(engine) as session:
        while log.append(session, b"more") < size - 1:
            pass


def test_what_is_published_is_whole_at_every_size(engine: Engine, log: Log, tmp_path: Path) -> None:
    folder = tmp_path / "public"
    assert log.publish(folder) == log.checkpoint()
    assert files(folder) == {"checkpoint"}
    for size in (1, 2, 200, 255, 256, 257, 600):
        extend(engine, log, size)
        assert log.publish(folder) == log.checkpoint()
        mirror = Mirror(folder, KEY.verifier)
        mirror.verify()
        assert mirror.checkpoint.size == size
        assert mirror.prove(size - 1) == log.prove(size - 1)
        log.check_published(folder)
    assert files(folder) == {
        "checkpoint",
        "tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/1", "tile/1/000.p/2",
        "tile/entries/000", "tile/entries/001", "tile/entries/002.p/88",
    }  # fmt: skip


def test_partial_tiles_stay_until_the_full_one_is_there(engine: Engine, log: Log, tmp_path: Path) -> None:
    for size in (3, 5):
        extend(engine, log, size)
        log.publish(tmp_path / "public")
    assert {"tile/0/000.p/3", "tile/0/000.p/5"} <= files(tmp_path / "public")


def test_publishing_again_writes_nothing(engine: Engine, log: Log, tmp_path: Path) -> None:
    fill(engine, log, 5)
    log.publish(tmp_path / "public")
    before = {each: each.stat().st_mtime_ns for each in (tmp_path / "public").rglob("*") if each.name != ".lock"}
    log.publish(tmp_path / "public")
    assert {each: each.stat().st_mtime_ns for each in before} == before


def test_another_key_signs_what_is_published_anew(engine: Engine, log: Log, tmp_path: Path) -> None:
    fill(engine, log, 5)
    log.publish(tmp_path)
    new = SigningKey(ORIGIN, bytes(32))
    Log(engine, ORIGIN, KEY, [new]).publish(tmp_path)
    for key in (KEY, new):
        Mirror(tmp_path, key.verifier).verify()


def test_tiles_are_there_before_their_checkpoint(
    engine: Engine, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine, log, 300)
    order: list[Path] = []

    def written(path: Path, data: bytes, mode: int) -> None:
        order.append(path)
        write_whole(path, data, mode)

    monkeypatch.setattr("unikat_registry.publication.write_whole", written)
    log.publish(tmp_path)
    assert order[-1] == tmp_path / "checkpoint"
    assert len(order) == 6


def test_a_database_that_is_older_than_what_it_published_is_refused(engine: Engine, log: Log, tmp_path: Path) -> None:
    fill(engine, log, 5)
    note = log.publish(tmp_path)
    old = open_database(f"sqlite:///{tmp_path}/old.db")
    rolled_back = Log(old, ORIGIN, KEY)
    fill(old, rolled_back, 4)
    for refused in (rolled_back.check_published, rolled_back.publish):
        with pytest.raises(RolledBack, match="has 5 entries, and the database 4"):
            refused(tmp_path)
    with writing(old) as session:
        rolled_back.append(session, b"another")
        rolled_back.append(session, leaf(5))
    for refused in (rolled_back.check_published, rolled_back.publish):
        with pytest.raises(RolledBack, match="the first 5 entries of the database are others"):
            refused(tmp_path)
    assert (tmp_path / "checkpoint").read_text(encoding="utf-8") == note
    old.dispose()


def test_the_folder_of_another_log_is_refused(engine: Engine, log: Log, tmp_path: Path) -> None:
    note = Checkpoint("elsewhere.example", 0, Checkpoint.parse(log.checkpoint()).root)
    (tmp_path / "checkpoint").write_text(note.sign([SigningKey("elsewhere.example", bytes(32))]), encoding="utf-8")
    with pytest.raises(RolledBack, match=r"is of the log elsewhere\.example, not of registry"):
        log.publish(tmp_path)
    (tmp_path / "checkpoint").write_text("rubbish", encoding="utf-8")
    with pytest.raises(NoteError, match="a signed note"):
        log.publish(tmp_path)
