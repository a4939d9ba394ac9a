"""Workers, and Redis, that die while batches are drawn: the files are the same, byte by byte, as without that."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from rq import Worker
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend

from tests.support.processes import Program, eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey
from tests.worker.batching import CELLS, Batches
from tests.worker.bench import Bench
from unikat.batches.spec import Cell
from unikat.bundle import Bundle
from unikat.queue.batches.progress import BatchProgress
from unikat.v1.batches_pb2 import Batch

SOME = (Cell({}, 1000),)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A slower one: about half a millisecond an image."""
    return write_tiny_bundle(tmp_path / "models", work=60)


@pytest.fixture
def batches(bench: Bench, bundle: Bundle, tmp_path: Path) -> Batches:
    """Batches, and no worker yet."""
    return Batches(bench.redis, bundle, tmp_path / "out")


def drawn_at_least(batches: Batches, batch: str, images: int) -> bool:
    """Whether a batch has got so far."""
    return batches.drawn(batch) >= images


def test_killed_workers_lose_no_image_of_a_batch(bench: Bench, batches: Batches) -> None:
    batch = batches.create(cells=SOME, shard_size=32)
    with ExitStack() as stack:
        for number in range(4):
            settings = {"lease_s": 1, "inference_threads": 2, "max_batch": 4, "destinations": batches.opened}
            worker = stack.enter_context(bench.worker(**settings))
            if number < 3:
                eventually(partial(drawn_at_least, batches, batch, 200 * (number + 1)))
                worker.kill()
        batches.assert_complete(batch)


def test_two_workers_share_a_batch_and_one_is_killed(bench: Bench, batches: Batches) -> None:
    settings = {"lease_s": 1, "inference_threads": 1, "max_batch": 4, "destinations": batches.opened}
    with bench.worker(**settings) as first, bench.worker(**settings):
        batch = batches.create(cells=SOME, shard_size=32)
        eventually(lambda: len({name for name in shard_workers(batches, batch) if name}) == 2)
        first.kill()
        batches.assert_complete(batch)


def test_redis_is_killed_while_a_batch_is_drawn(durable_valkey: Valkey, bundle: Bundle, tmp_path: Path) -> None:
    with durable_valkey.client() as redis:
        bench = Bench(durable_valkey, redis, tmp_path / "models")
        batches = Batches(redis, bundle, tmp_path / "out")
        batch = batches.create(cells=SOME, shard_size=32)
        with bench.worker(inference_threads=2, max_batch=4, destinations=batches.opened) as worker:
            for images in (100, 500):
                eventually(partial(drawn_at_least, batches, batch, images))
                durable_valkey.kill()
                worker.wait_for_line("waiting for Redis")
                durable_valkey.start()
            batches.assert_complete(batch)
            assert worker.process.poll() is None


def test_a_worker_that_wakes_up_does_no_harm(bench: Bench, batches: Batches) -> None:
    settings = {"lease_s": 1, "inference_threads": 1, "max_batch": 4, "destinations": batches.opened}
    with bench.worker(**settings) as sleeper:
        batch = batches.create(cells=SOME, shard_size=64)
        eventually(lambda: batches.drawn(batch) > 0)
        sleeper.signal_group(signal.SIGSTOP)
        with bench.worker(**settings):
            eventually(lambda: batches.drawn(batch) > 400)
            sleeper.signal_group(signal.SIGCONT)
            batches.assert_complete(batch)
            again = batches.create(cells=SOME, shard_size=64)
            batches.assert_complete(again)
            assert sleeper.process.poll() is None


def test_sigterm_gives_shards_to_another_worker(bench: Bench, batches: Batches) -> None:
    batch = batches.create(cells=SOME, shard_size=500)
    with bench.worker(inference_threads=2, max_batch=4, destinations=batches.opened) as first:
        eventually(lambda: "started" in shard_states(batches, batch))
        assert first.terminate() == 0
    states = shard_states(batches, batch)
    assert set(states) <= {"queued", "finished"}
    assert "queued" in states
    assert not Worker.all(connection=batches.redis)
    assert not batches.redis.zcard(batches.queue(batch).started_job_registry.key)
    assert not batches.redis.llen(batches.queue(batch).intermediate_queue_key)
    assert batches.redis.lindex(batches.queue(batch).key, 0) == f"b-{batch}-{states.index('queued'):05}".encode()
    with bench.worker(destinations=batches.opened):
        batches.assert_complete(batch)


def test_a_shard_taken_by_a_worker_that_died_at_once_is_recovered(bench: Bench, batches: Batches) -> None:
    batch = batches.create(cells=CELLS)
    found = BatchProgress(bench.redis).take("dead")
    assert found is not None
    assert found.job.id == f"b-{batch}-00000"
    with bench.worker(lease_s=1, destinations=batches.opened):
        batches.assert_complete(batch)


def test_what_a_killed_redis_forgot_is_done_again(bench: Bench, batches: Batches) -> None:
    with bench.worker(lease_s=1, destinations=batches.opened) as worker:
        suspend(bench.redis)
        worker.wait_for_line("suspended")
        batch = batches.create(cells=CELLS)
        (name,) = bench.worker_names()
        # As if the shard had long been settled, and Redis had come back as it was while it was drawn.
        found = BatchProgress(bench.redis).take(name)
        assert found is not None
        assert found.job.id == f"b-{batch}-00000"
        resume(bench.redis)
        batches.assert_complete(batch)
        assert "it is not" in worker.output


def test_a_shard_that_kills_every_worker_is_failed_alone(bench: Bench, batches: Batches) -> None:
    batch = batches.create(cells=[Cell({}, 1250)], shard_size=1200)
    settings = {"lease_s": 1, "inference_threads": 1, "max_batch": 4, "max_crashes": 1, "destinations": batches.opened}
    shard = Job(f"b-{batch}-00000", connection=batches.redis, serializer=JSONSerializer)  # which waits as an id
    for _ in range(2):
        with bench.worker(**settings) as program:
            eventually(lambda: f"name={shard_worker(shard)} " in program.output, pause=0.002)
            program.kill()
    with bench.worker(**settings):
        message = batches.end(batch)
        assert message.state == Batch.STATE_FAILED
        assert [failure.shard for failure in message.failures] == [0]
        assert "workers in a row were lost" in message.failures[0].message
        assert message.drawn_count == 50
        assert shard.get_status() == "failed"
        assert batches.redis.keys("unikat:stream:*") == []


def draws(program: Program, job: Job) -> bool:
    """Whether it is this process that draws a shard."""
    return f"name={shard_worker(job)} " in program.output


def shard_worker(job: Job) -> str:
    """Name of the worker that RQ says draws a shard; "" while none does."""
    name = job.connection.hget(job.key, "worker_name")
    return name.decode() if isinstance(name, bytes) else ""


def shard_states(batches: Batches, batch: str) -> list[str]:
    """RQ's status of each shard."""
    return [field.decode() for field in shard_fields(batches, batch, "status") if field]


def shard_workers(batches: Batches, batch: str) -> list[str]:
    """Name of the worker that drew, or draws, each shard."""
    return [field.decode() for field in shard_fields(batches, batch, "worker_name") if field]


def shard_fields(batches: Batches, batch: str, field: str) -> list[bytes | None]:
    """A field of the jobs of all shards."""
    with batches.redis.pipeline(transaction=False) as pipe:
        for shard in range(batches.record(batch).shards):
            pipe.hget(f"rq:job:b-{batch}-{shard:05}", field)
        found: list[bytes | None] = pipe.execute()
        return found
