"""The registry's log, killed: no gap, no answer lost, and no published checkpoint that the database does not extend."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.drills.log_victims import CONTEXT, answered, killed_at, opens_until, writer
from tests.registry.conftest import KEY, ORIGIN
from tests.support.postgres import Postgres
from unikat.transparency import Checkpoint, check_views
from unikat.transparency.mirror import Mirror
from unikat_registry import works
from unikat_registry.database import open_database, reading, writing
from unikat_registry.log import Log

LAST = 30  # answers that are looked for after each round; all of them are at the end
BEFORE = 255  # entries: one more fills a tile, begins the level above, and removes the partial ones


def test_a_kill_at_every_step_from_append_to_answer(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest, is_long: bool
) -> None:
    _prepare(database_url, tmp_path / "public")
    killed, stride = 0, 1 if is_long else 5
    for step, url, folder in _copies(database_url, tmp_path, request, stride):
        answers = tmp_path / f"answers {step}"
        process = CONTEXT.Process(target=killed_at, args=(step, url, folder, answers))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL), f"step {step}: ended with {process.exitcode}"
        _check(url, folder, answers, {BEFORE, BEFORE + 1})
        if process.exitcode == 0:
            assert len(answered(answers)) == 1
            break
        killed += 1
    print(f"\n{killed} kills, each before another step of {killed * stride}")
    assert killed * stride > 40


def test_a_kill_at_every_statement_of_the_migration(database_url: str, is_long: bool) -> None:
    for step in count(0, 1 if is_long else 4):
        process = CONTEXT.Process(target=opens_until, args=(step, database_url))
        process.start()
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL), f"step {step}: ended with {process.exitcode}"
        if process.exitcode == 0:
            break
    print(f"\nkilled before statements up to {step}, and then it was whole")
    assert step > 10
    engine = open_database(database_url)
    log = Log(engine, ORIGIN, KEY)
    with writing(engine) as session:
        assert log.append(session, b"first") == 0
    engine.dispose()


def test_writers_that_are_killed_at_any_time(database_url: str, tmp_path: Path, is_long: bool, drill_seed: int) -> None:
    print(f"\n--seed {drill_seed}")
    faults = random.Random(drill_seed)
    folder, answers = tmp_path / "public", tmp_path / "answers"
    rounds = 40 if is_long else 3
    for each in range(rounds):
        processes = [
            CONTEXT.Process(target=writer, args=(database_url, folder, answers, f"{each}-{name}")) for name in "ab"
        ]
        for process in processes:
            process.start()
        wanted = len(answered(answers)) + faults.randrange(1, 12)
        deadline = time.monotonic() + 60
        while len(answered(answers)) < wanted:
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(0.01)
        for process in processes:
            process.kill()
            process.join()
        _check(database_url, folder, answers, last=LAST)
    _check(database_url, folder, answers)
    print(f"{rounds} rounds, 2 kills each: {len(answered(answers))} answers, all kept")


def _prepare(url: str, folder: Path) -> None:
    engine = open_database(url)
    log = Log(engine, ORIGIN, KEY)
    with writing(engine) as session:
        while log.append(session, b"before") < BEFORE - 1:
            pass
    log.publish(folder)
    engine.dispose()


def _copies(url: str, tmp_path: Path, request: pytest.FixtureRequest, stride: int) -> Iterator[tuple[int, str, Path]]:
    """Number, database and published files, as prepared, for one step after the other."""
    for step in count(0, stride):
        folder = tmp_path / f"public {step}"
        shutil.copytree(tmp_path / "public", folder)
        if url.startswith("sqlite"):
            shutil.copy(tmp_path / "registry.db", tmp_path / f"{step}.db")
            yield step, f"sqlite:///{tmp_path}/{step}.db", folder
        else:
            server: Postgres = request.getfixturevalue("postgres")
            template = url.partition("@/")[2].partition("?")[0]
            with server.new_database(template) as name:
                yield step, server.url(name), folder


def _check(url: str, folder: Path, answers: Path, sizes: set[int] | None = None, *, last: int = 0) -> None:
    engine = open_database(url)
    log = Log(engine, ORIGIN, KEY)
    log.check_published(folder)
    if (folder / "checkpoint").exists():
        Mirror(folder, KEY.verifier).verify()
    size = log.size()
    assert sizes is None or size in sizes
    for leaf, proof in answered(answers)[-last:]:
        with reading(engine) as session:
            assert works.leaf(session, proof.leaf_index) == leaf
        small = proof.verify(leaf, KEY.verifier)
        check_views(proof.checkpoint, log.checkpoint(), KEY.verifier, log.consistency(small.size, size))
    note = log.publish(folder)
    mirror = Mirror(folder, KEY.verifier)
    mirror.verify()
    assert mirror.note == note
    assert Checkpoint.parse(note).size == size  # every index below it has an entry: the files were verified
    assert list(folder.rglob("*.tmp")) == []
    engine.dispose()
