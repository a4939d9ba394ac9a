"""Destinations that do not work for a while: a batch pauses, says why, and goes on, without spending a retry."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.service.batch_hand import BatchHand
from tests.support.processes import Program, eventually
from tests.worker.batching import ANY, CELLS, Batches
from tests.worker.bench import Bench
from unikat.batches import record as r
from unikat.batches.spec import Cell
from unikat.batches.storage_keys import StorageKeys
from unikat.bundle import Bundle
from unikat.queue.batches.keys import batch_key
from unikat.queue.batches.progress import BatchProgress
from unikat.v1.batches_pb2 import Batch
from unikat_worker.active import ActiveShard, Ending
from unikat_worker.batches.admission import admit
from unikat_worker.batches.files import CalledOff, Files
from unikat_worker.batches.places import Places
from unikat_worker.device import CPU, Device

SETTINGS = {"lease_s": 1, "inference_threads": 2, "max_batch": 8}


@pytest.fixture
def batches(bench: Bench, bundle: Bundle, tmp_path: Path) -> Batches:
    """Batches, and no worker yet."""
    return Batches(bench.redis, bundle, tmp_path / "out")


@pytest.fixture
def worker(bench: Bench, batches: Batches) -> Iterator[Program]:
    """A worker that may write below the folder."""
    with bench.worker(**SETTINGS, destinations=batches.opened) as program:
        yield program


def is_paused(batches: Batches, batch: str) -> bool:
    """Whether a caller is told that the destination does not work."""
    return batches.message(batch).HasField("pause")


def blocked(batches: Batches, name: str) -> Path:
    """A file where the batch's folder should be; even root cannot write below it."""
    path = batches.root / name
    path.write_bytes(b"in the way")
    return path


@pytest.mark.usefixtures("worker")
def test_a_batch_pauses_and_goes_on_by_itself(batches: Batches) -> None:
    obstacle = blocked(batches, "later")
    batch = batches.create(cells=CELLS, destination=f"{batches.opened}/later", owner="ann")
    eventually(partial(is_paused, batches, batch))
    message = batches.message(batch)
    assert message.state == Batch.STATE_RUNNING
    assert "later" in message.pause.reason
    assert message.drawn_count == 0
    other = batches.create(owner="ann")  # of the same owner, and not held up
    batches.assert_complete(other)
    obstacle.unlink()
    assert batches.end(batch).state == Batch.STATE_SUCCEEDED
    (batches.root / "later").rename(batches.root / batch)
    assert batches.images(batch) == batches.expected(batch)
    assert retries_left(batches, batch) == {b"3"}
    assert not batches.message(batch).HasField("pause")


def test_a_worker_that_leaves_gives_parked_shards_back(bench: Bench, batches: Batches) -> None:
    obstacle = blocked(batches, "later")
    batch = batches.create(destination=f"{batches.opened}/later")
    with bench.worker(**SETTINGS, destinations=batches.opened) as worker:
        eventually(partial(is_paused, batches, batch))
        assert worker.terminate() == 0
    assert batches.left_in_rq(batch) == batches.redis.llen(batches.queue(batch).key) == 7
    obstacle.unlink()
    with bench.worker(**SETTINGS, destinations=batches.opened):
        assert batches.end(batch).state == Batch.STATE_SUCCEEDED


@pytest.mark.usefixtures("worker")
def test_a_paused_batch_can_be_cancelled(batches: Batches) -> None:
    blocked(batches, "never")
    batch = batches.create(destination=f"{batches.opened}/never")
    eventually(partial(is_paused, batches, batch))
    batches.store.cancel(batch)
    message = batches.end(batch)
    assert (message.state, message.drawn_count, message.manifest) == (Batch.STATE_CANCELLED, 0, "")


@pytest.mark.usefixtures("worker")
def test_a_manifest_that_cannot_be_written_keeps_the_batch_open(batches: Batches) -> None:
    folder = batches.root / "open"
    (folder / "manifest.parquet").mkdir(parents=True)  # a folder where the file should be
    batch = batches.create(cells=[ANY], destination=f"{batches.opened}/open")
    eventually(partial(is_paused, batches, batch))
    assert "the manifest cannot be written" in batches.message(batch).pause.reason
    assert batches.message(batch).drawn_count == 50
    (folder / "manifest.parquet").rmdir()
    assert batches.end(batch).state == Batch.STATE_SUCCEEDED
    assert (folder / "manifest.parquet").is_file()


@pytest.mark.usefixtures("worker")
def test_a_shard_that_somebody_removed_is_drawn_again(batches: Batches) -> None:
    batch = batches.create(cells=[Cell({}, 600)])
    rows = batches.root / batch / ".unikat"
    part = eventually(lambda: next(iter(rows.glob("0*.parquet")), None), pause=0.002)
    assert part is not None
    part.unlink()
    shutil.rmtree(batches.root / batch / "images" / part.stem)
    batches.assert_complete(batch)


def stranger(bench: Bench, batches: Batches, name: str = "stranger") -> AbstractContextManager[Program]:
    """A worker that may write, but not where the batches go."""
    return bench.worker(**SETTINGS, worker_name=name, destinations=batches.root.parent / "other")


def test_a_batch_that_is_not_open_to_a_worker_says_so_and_is_left_to_another(bench: Bench, batches: Batches) -> None:
    with stranger(bench, batches) as other:
        batch = batches.create()
        eventually(partial(is_paused, batches, batch))
        message = batches.message(batch)
        assert (message.state, message.drawn_count) == (Batch.STATE_RUNNING, 0)
        assert message.pause.reason == (
            f"worker stranger: {message.destination} is not open here "
            f"(UNIKAT_DESTINATIONS opens file://{batches.root.parent / 'other'})"
        )
        eventually(lambda: batches.redis.llen(batches.queue(batch).key) == 7)
        with bench.worker(**SETTINGS, destinations=batches.opened):
            batches.assert_complete(batch)
        assert retries_left(batches, batch) == {b"3"}
        assert other.process.poll() is None


def test_a_batch_that_is_open_to_no_worker_can_be_cancelled(bench: Bench, batches: Batches) -> None:
    with stranger(bench, batches):
        batch = batches.create()
        eventually(partial(is_paused, batches, batch))
        batches.store.cancel(batch)
    with stranger(bench, batches, "another"):
        message = batches.end(batch)
    assert (message.state, message.drawn_count, message.manifest) == (Batch.STATE_CANCELLED, 0, "")


def test_a_cancelled_batch_waits_a_minute_for_a_worker_that_may_write_its_manifest(
    bench: Bench, batches: Batches
) -> None:
    batch = batches.create()
    hand = BatchHand(batches.redis)
    hand.write(hand.take_shard())
    batches.store.cancel(batch)
    with stranger(bench, batches):
        eventually(lambda: batches.redis.hexists(batch_key(batch), r.PAUSED))
        eventually(lambda: batches.redis.llen(batches.queue(batch).key) == 1)
        assert not batches.record(batch).has_ended
    batches.redis.hset(batch_key(batch), r.CANCELLED, str(time.time() - 61))
    with stranger(bench, batches, "another"):
        assert batches.end(batch).manifest == ""


@pytest.mark.usefixtures("worker")
def test_a_link_that_leads_out_of_what_is_open_fails_the_batch_without_a_retry(
    batches: Batches, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (batches.root / "link").symlink_to(tmp_path / "elsewhere")
    batch = batches.create(cells=[ANY], destination=f"{batches.opened}/link/art")
    message = batches.end(batch)
    assert (message.state, len(message.failures), message.manifest) == (Batch.STATE_FAILED, 4, "")
    assert "by a symbolic link" in message.failures[0].message
    assert not batches.queue(batch).scheduled_job_registry.get_job_ids()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.usefixtures("worker")
def test_a_folder_that_holds_another_batch_is_refused(batches: Batches) -> None:
    first = batches.create(cells=[ANY])
    batches.assert_complete(first)
    batches.store.delete(first)
    second = batches.create(cells=[ANY], seed=6, destination=f"{batches.opened}/{first}")
    message = batches.end(second)
    assert message.state == Batch.STATE_FAILED
    assert len(message.failures) == 4
    assert message.drawn_count == 0
    assert message.manifest == ""


def retries_left(batches: Batches, batch: str) -> set[bytes | None]:
    """How many tries the shards have left."""
    with batches.redis.pipeline(transaction=False) as pipe:
        for shard in range(batches.record(batch).shards):
            pipe.hget(f"rq:job:b-{batch}-{shard:05}", "retries_left")
        return set(pipe.execute())


def test_no_file_is_begun_of_a_batch_that_was_cancelled(batches: Batches) -> None:
    batch = batches.create(cells=CELLS)
    files = Files(
        batches.redis,
        Places((batches.opened,), StorageKeys(None), writers=1, write_timeout_s=60.0),
        Device(CPU, threads=1, inference_threads=1, processor=""),
    )
    found = BatchProgress(batches.redis).take("worker-1")
    assert found is not None
    shard = admit(found)
    assert isinstance(shard, ActiveShard)
    batches.store.cancel(batch)  # while it is drawn, or waits for a writer
    with pytest.raises(CalledOff):
        files.write(shard)
    assert not (batches.root / batch).exists()


def test_a_job_of_a_batch_whose_record_is_not_readable_is_refused(batches: Batches) -> None:
    batch = batches.create(cells=CELLS)
    batches.store.cancel(batch)
    batches.redis.hset(batch_key(batch), r.HEAD, "{")
    found = BatchProgress(batches.redis).take("worker-1")
    assert found is not None
    close = admit(found)
    assert (close.id, close.ending) == (f"b-{batch}-close-0", Ending.FAILED)
    assert "its batch is not readable" in str(close.error)
