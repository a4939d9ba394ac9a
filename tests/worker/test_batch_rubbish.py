"""What somebody writes into a batch's queue by hand may be anything: no worker ends, and the batch is complete."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rq.job import Job

from tests.support.processes import Program, eventually
from tests.worker.batching import Batches
from tests.worker.bench import Bench
from unikat.batches.spec import DRAW_SHARD, Cell
from unikat.bundle import Bundle
from unikat.queue.batches.keys import shard_job_id
from unikat.v1.batches_pb2 import Batch

pytestmark = pytest.mark.xdist_group("worker-batches")


@pytest.fixture(scope="module")
def batches(shared_bench: Bench, shared_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Batches:
    """Batches of tiny@1."""
    return Batches(shared_bench.redis, shared_bundle, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def worker(shared_bench: Bench, batches: Batches) -> Iterator[Program]:
    """One worker for all tests here, with a short lease: it sweeps away soon what nobody begins."""
    with shared_bench.worker(destinations=batches.opened, lease_s=2) as program:
        program.wait_for_line("worker ready")
        yield program
        assert program.process.poll() is None  # it outlived everything


@pytest.mark.parametrize("job_id", [b"\xff\xfe", b"", b"../x", b"a b:c", b"no-such-job"])
def test_what_is_no_job_in_a_queue_is_thrown_away(batches: Batches, worker: Program, job_id: bytes) -> None:
    batch = batches.create(cells=[Cell({}, 16)], owner="ann")
    queue = batches.queue(batch)
    batches.redis.lpush(queue.key, job_id, job_id)
    batches.redis.zadd(queue.started_job_registry.key, {job_id: time.time() + 1000})
    batches.redis.zadd(queue.scheduled_job_registry.key, {job_id: 1})
    batches.assert_complete(batch)
    assert worker.process.poll() is None


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": "yesterday"},
        {"timeout": "abc"},
        {"status": "tired"},
        {"unikat_attempts": "many"},
        {},
    ],
)
def test_a_jobs_hash_may_hold_anything(batches: Batches, worker: Program, fields: dict[str, str]) -> None:
    job_id = "written-by-hand"
    batch = batches.create(cells=[Cell({}, 16)], owner="ann")
    queue = batches.queue(batch)
    key = Job.key_for(job_id)
    batches.redis.delete(key)
    if fields:
        whole = {"data": json.dumps([DRAW_SHARD, None, [], {}]), "origin": queue.name, "status": "queued"}
        for name, value in {**whole, **fields}.items():
            batches.redis.hset(key, name, value)
    else:
        batches.redis.set(key, "not even a hash")
    batches.redis.lpush(queue.key, job_id)
    batches.assert_complete(batch)
    assert worker.process.poll() is None


def test_a_shard_that_would_write_elsewhere_is_refused_without_a_retry(
    batches: Batches, worker: Program, tmp_path: Path
) -> None:
    batch = batches.create(cells=[Cell({}, 16)], owner="ann")
    other = {"destination": f"file://{tmp_path}/elsewhere"}
    kwargs = batches.store.spec(batch).shard_job(batch, 0).to_kwargs() | other
    job_id = shard_job_id(batch, 0)
    batches.queue(batch).enqueue(DRAW_SHARD, kwargs=kwargs, job_id=job_id, job_timeout=-1, at_front=True)
    message = batches.end(batch)
    assert message.state == Batch.STATE_FAILED
    assert [failure.shard for failure in message.failures] == [0]
    assert f"it writes to {other['destination']}, and its batch to" in message.failures[0].message
    assert not batches.queue(batch).scheduled_job_registry.get_job_ids()
    assert not (tmp_path / "elsewhere").exists()
    assert worker.process.poll() is None


@pytest.mark.parametrize(
    ("shard", "why"),
    [(9, "has no shard 9"), (10**12, "has no shard"), ("\ud800", "not Unicode")],
)
def test_a_shard_that_a_batch_does_not_have_counts_for_nothing(
    batches: Batches, worker: Program, shard: int | str, why: str
) -> None:
    batch = batches.create(cells=[Cell({}, 32)], owner="ann")
    kwargs = batches.store.spec(batch).shard_job(batch, 0).to_kwargs() | {"shard": shard}
    job_id = shard_job_id(batch, shard) if isinstance(shard, int) else f"b-{batch}-9"
    job = batches.queue(batch).enqueue(DRAW_SHARD, kwargs=kwargs, job_id=job_id, job_timeout=-1, at_front=True)
    eventually(lambda: job.get_status() == "failed")
    result = job.latest_result()
    assert result is not None
    assert why in str(result.exc_string)
    message = batches.assert_complete(batch)
    assert message.failed_count == 0
    assert not message.failures
    assert worker.process.poll() is None
