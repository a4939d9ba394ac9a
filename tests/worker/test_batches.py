"""Batches that nothing happens to: drawn, written, settled, in turns, behind interactive work."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from rq.command import send_stop_job_command
from rq.job import Job
from rq.serializers import DefaultSerializer, JSONSerializer

from tests.support.processes import Program, eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.worker.batching import Batches
from tests.worker.bench import Bench, assert_complete
from tests.worker.test_settling import Bomb
from unikat.batches.spec import CLOSE_BATCH, DRAW_SHARD, Cell
from unikat.bundle import Bundle
from unikat.queue.batches.jobs import enqueue_whole
from unikat.queue.batches.keys import close_job_id, shard_job_id
from unikat.queue.batches.progress import BatchProgress
from unikat.queue.batches.store import WrongState
from unikat.v1.batches_pb2 import LAYOUT_WEBDATASET, Batch

pytestmark = pytest.mark.xdist_group("worker-batches")

MANY = (Cell({}, 40_000),)


@pytest.fixture(scope="module")
def slow(shared_models: Path) -> Bundle:
    """A model that takes about half a millisecond an image."""
    return write_tiny_bundle(shared_models, name="slow", work=60)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is opened to batches."""
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def batches(shared_bench: Bench, shared_bundle: Bundle, root: Path) -> Batches:
    """Batches of tiny@1."""
    return Batches(shared_bench.redis, shared_bundle, root)


@pytest.fixture(scope="module")
def slow_batches(shared_bench: Bench, slow: Bundle, root: Path) -> Batches:
    """Batches of slow@1."""
    return Batches(shared_bench.redis, slow, root)


@pytest.fixture(scope="module", autouse=True)
def worker(shared_bench: Bench, batches: Batches, slow_batches: Batches) -> Iterator[Program]:
    """One worker for all tests here."""
    with shared_bench.worker(inference_threads=2, max_batch=8, batch_ms=10, destinations=batches.opened) as program:
        yield program
        assert program.process.poll() is None, f"the worker did not survive its tests:\n{program.output}"


@pytest.fixture(autouse=True)
def nothing_left(batches: Batches) -> Iterator[None]:
    """What a test left running is called off."""
    yield
    for batch in BatchProgress(batches.redis).active():
        with suppress(WrongState):  # it ended just now
            batches.store.cancel(batch)
        batches.end(batch)


def test_batches_of_several_owners_have_the_bytes_that_drawing_alone_gives(batches: Batches) -> None:
    created = [batches.create(owner=owner, seed=seed) for seed, owner in enumerate(("ann", "bob", "ann"))]
    for batch in created:
        message = batches.assert_complete(batch)
        assert message.start_time.ToMicroseconds() <= message.end_time.ToMicroseconds()


def test_a_batch_is_finished_for_rq(batches: Batches) -> None:
    batch = batches.create(shard_size=40)
    batches.end(batch)
    queue = batches.queue(batch)
    jobs = [shard_job_id(batch, shard) for shard in range(3)] + [close_job_id(batch, 0)]
    eventually(lambda: set(queue.finished_job_registry.get_job_ids()) == set(jobs))
    shard = Job.fetch(jobs[2], connection=batches.redis, serializer=JSONSerializer)
    assert shard.get_status() == "finished"
    assert shard.return_value() == {"images": 20, "attempts": 1}
    assert not batches.redis.keys(f"rq:execution:{jobs[2]}:*")
    assert 0 < batches.redis.ttl(shard.key) <= 600


def test_tar_shards_are_written(batches: Batches) -> None:
    batch = batches.create(layout=LAYOUT_WEBDATASET, shard_size=64)
    assert batches.end(batch).state == Batch.STATE_SUCCEEDED
    assert sorted(path.name for path in (batches.root / batch / "shards").iterdir()) == ["00000.tar", "00001.tar"]


def test_a_batch_of_a_model_that_is_not_there_is_tried_again_and_fails(batches: Batches) -> None:
    batch = batches.create(cells=[Cell({}, 30)], digest="sha256:" + "0" * 64)
    queue = batches.queue(batch)
    eventually(lambda: len(queue.scheduled_job_registry) == 2)
    first, second = (job_with_id(batches, shard_job_id(batch, shard)) for shard in range(2))
    assert first.retries_left == 2
    message = batches.end_hurried(batch)
    assert message.state == Batch.STATE_FAILED
    assert [(failure.shard, failure.first_index, failure.count) for failure in message.failures] == [
        (0, 0, 16), (1, 16, 14),
    ]  # fmt: skip
    assert "has the digest sha256:000" in message.failures[0].message
    assert message.failed_count == 30
    assert set(queue.failed_job_registry.get_job_ids()) == {first.id, second.id}
    assert "UnknownModel" in str(first.latest_result().exc_string)  # type: ignore[union-attr]  # it failed, so there is one


def test_one_shard_that_fails_spoils_no_other_and_can_be_retried(batches: Batches) -> None:
    batch = batches.create(cells=[Cell({}, 16), Cell({"style": {"crayon": 1.0}}, 16), Cell({}, 16)])
    message = batches.end_hurried(batch)
    assert message.state == Batch.STATE_FAILED
    assert message.drawn_count == 32
    assert [failure.shard for failure in message.failures] == [1]
    assert "crayon" in message.failures[0].message
    batches.store.retry(batch)
    assert batches.end_hurried(batch).state == Batch.STATE_FAILED
    assert close_job_id(batch, 1) in batches.queue(batch).finished_job_registry


def test_a_cancelled_batch_stops_and_keeps_what_is_there(slow_batches: Batches) -> None:
    batch = slow_batches.create(cells=MANY, shard_size=64)
    eventually(lambda: slow_batches.drawn(batch) > 50)
    slow_batches.store.cancel(batch)
    message = slow_batches.end(batch)
    assert message.state == Batch.STATE_CANCELLED
    assert 50 < message.drawn_count < 40_000
    assert len(slow_batches.images(batch)) == message.drawn_count
    assert message.manifest
    assert slow_batches.left_in_rq(batch) <= 1  # the job that ended it, for a moment
    assert not slow_batches.queue(batch).failed_job_registry.get_job_ids()


def test_a_batch_cancelled_in_the_queue_is_never_drawn(slow_batches: Batches) -> None:
    first = slow_batches.create(cells=MANY, owner="ann", shard_size=256)
    second = slow_batches.create(cells=MANY, owner="ann", shard_size=256)
    slow_batches.store.cancel(second)
    message = slow_batches.end(second)
    assert (message.state, message.drawn_count, message.manifest) == (Batch.STATE_CANCELLED, 0, "")
    eventually(lambda: slow_batches.drawn(first) > 0)


def test_rqs_stop_command_fails_a_shard_and_spares_the_others(slow_batches: Batches) -> None:
    batch = slow_batches.create(cells=[Cell({}, 3000)], shard_size=1000)
    first = job_with_id(slow_batches, shard_job_id(batch, 0))
    eventually(lambda: first.get_status() == "started")
    send_stop_job_command(slow_batches.redis, first.id, serializer=JSONSerializer)
    message = slow_batches.end(batch)
    assert message.state == Batch.STATE_FAILED
    assert [failure.shard for failure in message.failures] == [0]
    assert "stopped by an operator" in message.failures[0].message
    assert first.get_status() == "stopped"


def test_an_interactive_job_passes_by_a_batch(
    shared_bench: Bench, slow_batches: Batches, shared_bundle: Bundle
) -> None:
    batch = slow_batches.create(cells=MANY, shard_size=1024)
    eventually(lambda: slow_batches.drawn(batch) > 0)
    latencies = []
    started, before = time.monotonic(), slow_batches.drawn(batch)
    for seed in range(20):
        begun = time.monotonic()
        job = shared_bench.enqueue(shared_bundle.model.digest, seed=seed)
        assert_complete(shared_bench.outcome(job), 1)
        latencies.append(time.monotonic() - begun)
    eventually(lambda: slow_batches.drawn(batch) >= before + 2048)
    a_shard = (time.monotonic() - started) * 1024 / (slow_batches.drawn(batch) - before)  # s, on this machine, just now
    assert sorted(latencies)[10] < a_shard / 4, (latencies, a_shard)  # a model batch takes a fiftieth of a shard


def test_a_small_batch_of_another_owner_does_not_wait_for_a_large_one(slow_batches: Batches) -> None:
    large = slow_batches.create(cells=MANY, owner="ann", shard_size=256)
    eventually(lambda: slow_batches.drawn(large) > 0)
    begun_with = slow_batches.drawn(large)
    small = slow_batches.create(cells=[Cell({}, 1024)], owner="bob", shard_size=256)
    eventually(lambda: slow_batches.drawn(small) == 1024, 90)
    # Meanwhile the large one got about as much: a worker has slots for both, and goes on by shards.
    assert slow_batches.drawn(large) - begun_with <= 3 * 1024
    assert slow_batches.drawn(large) > begun_with


def test_a_pickle_is_refused_and_never_loaded(slow_batches: Batches, batches: Batches, tmp_path: Path) -> None:
    proof = tmp_path / "pickle-was-loaded"
    slow_batches.create(cells=[Cell({}, 2000)], owner="ann", shard_size=2000)
    batch = batches.create(cells=[Cell({}, 16)], owner="ann")  # waits behind the other one
    job = whole_job(batches, batch, 0)
    bomb = Job.create(
        DRAW_SHARD, args=(Bomb(proof),), id=job.id, origin=batches.queue(batch).name, connection=batches.redis,
        serializer=DefaultSerializer,
    )  # fmt: skip
    batches.redis.hset(job.key, "data", bomb.data)
    message = batches.end(batch)
    assert message.state == Batch.STATE_FAILED
    assert "pickle is never read" in message.failures[0].message
    assert not proof.exists()
    pickle.loads(bomb.data)  # noqa: S301  (the bomb is real: it goes off here)
    assert proof.exists()


@pytest.mark.parametrize(
    ("function", "kwargs"),
    [("os.getcwd", {}), (DRAW_SHARD, {"cat": "dog"}), (CLOSE_BATCH, {"batch": "another", "round": 0})],
)
def test_a_payload_that_is_not_of_a_batch_is_refused(
    batches: Batches, function: str, kwargs: dict[str, object]
) -> None:
    batch = batches.create(cells=[Cell({}, 16)])
    job = batches.queue(batch).enqueue(function, kwargs=kwargs, job_timeout=-1)
    eventually(lambda: job.get_status() == "failed")
    batches.assert_complete(batch)


def test_a_batch_without_a_trace_in_rq_is_drawn_all_the_same(slow_batches: Batches) -> None:
    slow_batches.create(cells=[Cell({}, 2000)], owner="ann", shard_size=2000)
    batch = slow_batches.create(cells=[Cell({}, 40)], owner="ann")
    slow_batches.redis.delete(slow_batches.queue(batch).key)
    slow_batches.assert_complete(batch)


def job_with_id(batches: Batches, job_id: str) -> Job:
    """A job as RQ knows it, once a worker has taken it."""
    eventually(lambda: Job.exists(job_id, connection=batches.redis))
    return Job.fetch(job_id, connection=batches.redis, serializer=JSONSerializer)


def whole_job(batches: Batches, batch: str, shard: int) -> Job:
    """The job of a shard that waits, whole before a worker takes it, so that it can be changed."""
    queue = batches.queue(batch)
    with batches.redis.pipeline() as pipe:
        pipe.lrem(queue.key, 1, shard_job_id(batch, shard))
        enqueue_whole(pipe, queue, batch, batches.store.spec(batch), [shard])
        pipe.execute()
    return job_with_id(batches, shard_job_id(batch, shard))
