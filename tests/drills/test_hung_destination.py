"""A destination that hangs: its batches pause, all others go on, and the worker does not fill with threads."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.batch import Batch

TIMEOUT = 3.0  # seconds, UNIKAT_WRITE_TIMEOUT_S


@contextmanager
def hanging(folder: Path) -> Iterator[None]:
    """Whoever writes into the folder waits in the kernel until the end of the block, as for a mount without a server.

    Writers take a shared lock on a folder, and here somebody has it alone. Neither needs rights that CI has not.
    """
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    write_tiny_bundle(tmp_path / "models")
    (tmp_path / "out").mkdir()
    with running_stack(
        tmp_path / "models",
        UNIKAT_SHARD_SIZE="16",
        UNIKAT_DESTINATIONS=str(tmp_path / "out"),
        UNIKAT_WRITE_TIMEOUT_S=str(TIMEOUT),
    ) as stack:
        yield stack


def create(studio: Studio, folder: Path, owner: str, count: int = 160) -> str:
    return studio.create_batch("tiny", to=folder, count=count, owner=owner, seed=1).id


def state(studio: Studio, batch: str) -> Batch:
    return studio.batch(batch)


def threads(stack: Stack) -> int:
    return int(psutil.Process(stack.workers[0].process.pid).num_threads())


def test_a_hanging_destination_pauses_its_batch_only(stack: Stack, tmp_path: Path, is_long: bool) -> None:
    hung_folders, others = (24, 20) if is_long else (4, 3)
    places = [tmp_path / "out" / f"hung-{number}" for number in range(hung_folders)]
    with Studio(stack.target) as studio:
        create(studio, tmp_path / "out" / "before", "before")
        waits = [hanging(place) for place in places]
        for wait in waits:
            wait.__enter__()
        before = threads(stack)
        hung = [create(studio, place, f"owner-{number}") for number, place in enumerate(places)]
        longest = 0.0
        for number in range(others):
            begun = time.monotonic()
            batch = create(studio, tmp_path / "out" / f"other-{number}", "other")
            *_, last = studio.watch_batch(batch, timeout=120)
            assert (last.state, last.drawn) == ("SUCCEEDED", 160)
            longest = max(longest, time.monotonic() - begun)
        paused = eventually(lambda: [state(studio, batch) for batch in hung if state(studio, batch).pause], deadline=60)
        assert any("has not answered for 3 s" in (each.pause.reason if each.pause else "") for each in paused)
        most = threads(stack)
        assert most - before <= 2 * hung_folders + 4, "threads of writers, however many destinations hang"
        studio.cancel_batch(hung[0])
        *_, last = studio.watch_batch(hung[0], timeout=60)
        assert last.state == "CANCELLED"
        begun = time.monotonic()
        for wait in waits:
            wait.__exit__(None, None, None)
        for batch in hung[1:]:
            *_, last = studio.watch_batch(batch, timeout=120)
            assert (last.state, last.drawn) == ("SUCCEEDED", 160)
        print(
            f"{hung_folders} hanging folders, {most - before} more threads; of {others} other batches the longest took "
            f"{longest:.1f} s; the hung were through {time.monotonic() - begun:.1f} s after their folders came back"
        )
