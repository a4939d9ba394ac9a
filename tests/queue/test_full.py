"""A Valkey whose memory is full, at every script: it is refused whole or done whole, and done once there is room."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError, RedisError
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.queue.driver import LIMITS, MODEL, QUEUE, Driver, draw_job, enqueue, everything, publish_all, run, take_jobs
from tests.service.batch_hand import spec_of
from unikat.queue.batches.keys import batch_key
from unikat.queue.batches.progress import BatchProgress, TakenOfBatch
from unikat.queue.draws import Completion, Publication, Taken, close, ring
from unikat.queue.job import Limits, rq_result
from unikat.queue.keys import bell_key, inbox_key, leases_key, turns_key
from unikat.queue.stream import END_ID, STATUS, stream_key
from unikat_worker.active import ActiveJob, Ending
from unikat_worker.statuses import stopped_status
from unikat_worker.sweeper import Sweeper

JOBS = [f"picture-{number}" for number in range(8)]
IMAGE = bytes(16_000)
WORKER = "worker-1"
END = stopped_status("picture-0").SerializeToString()
SPARES = (*range(-8192, 16_384, 2048), *range(16_384, 655_360, 32_768))  # bytes between what is used and the limit


@dataclass
class Case:
    """A script in a situation: what was there, the script, what is there when it was done whole."""

    name: str
    prepare: Callable[[Redis], list[Taken]]
    act: Callable[[Redis, list[Taken]], object]
    done: Callable[[Redis], bool]


def nothing(redis: Redis) -> list[Taken]:
    redis.xadd(inbox_key("front"), {"j": ""})
    return []


def enqueued(redis: Redis) -> list[Taken]:
    nothing(redis)
    enqueue(redis, [(job, draw_job()) for job in JOBS])
    return []


def begun(redis: Redis) -> list[Taken]:
    enqueued(redis)
    return take_jobs(redis, WORKER)


def finished(redis: Redis) -> list[Taken]:
    jobs = begun(redis)
    publish(redis, jobs)
    return jobs


def requeued_by_rq(redis: Redis) -> list[Taken]:
    enqueued(redis)
    redis.delete(turns_key(MODEL), bell_key(MODEL))
    return []


def publish(redis: Redis, jobs: list[Taken]) -> None:
    done = Completion(rq_result({"images": 2}), time.time(), 600, last=3)
    publish_all(redis, WORKER, [Publication(job, 1, [IMAGE, IMAGE, b"end"], done) for job in jobs])


def release(redis: Redis, outcome: str) -> None:
    leases = [each for job in JOBS for each in (job, "front/1", outcome, 2, END)]
    run(redis, "release", 30, 600, *leases)


def all_are(redis: Redis, status: str) -> bool:
    return all(redis.hget(f"rq:job:{job}", "status") == status.encode() for job in JOBS)


def is_enqueued(redis: Redis) -> bool:
    whole = all_are(redis, "queued") and all(redis.hexists(f"rq:job:{job}", "data") for job in JOBS)
    listed = redis.lrange(f"rq:queue:{QUEUE}", 0, -1) == [job.encode() for job in JOBS]
    return whole and listed and redis.lrange(turns_key(MODEL), 0, -1) == [QUEUE.encode()]


def is_begun(redis: Redis) -> bool:
    started = cast("list[bytes]", redis.zrange(f"rq:wip:{QUEUE}", 0, -1))
    executions = all(redis.exists(b"rq:execution:" + member) for member in started)
    return all_are(redis, "started") and len(started) == 8 and executions and not redis.exists(f"rq:queue:{QUEUE}")


def is_finished(redis: Redis) -> bool:
    ids = [[entry for entry, _ in cast(Any, redis.xrange(stream_key(job)))] for job in JOBS]
    whole = all(each == [b"1-0", b"2-0", b"3-0"] for each in ids)
    told = redis.xlen(inbox_key("front")) == 9
    return whole and told and all_are(redis, "finished") and redis.zcard(f"rq:finished:{QUEUE}") == 8


def is_closed(redis: Redis) -> bool:
    return all(cast(Any, redis.xrange(stream_key(job))) == [(END_ID.encode(), {STATUS: END})] for job in JOBS)


def with_a_batch(redis: Redis) -> list[Taken]:
    BatchProgress(redis).store.create("a", spec_of("a", 12), "content")
    return []


def with_a_shard(redis: Redis) -> list[Taken]:
    with_a_batch(redis)
    return [found.job for found in [BatchProgress(redis).take(WORKER)] if found is not None]


def finish_shard(redis: Redis, jobs: list[Taken]) -> None:
    found = TakenOfBatch(jobs[0], "a", b"{}", 3, 0, b"", has_ended=False, written=0, is_written=False)
    done = Completion(rq_result({"images": 4}), time.time(), 600)
    BatchProgress(redis).finish(WORKER, found, 4, done)


def is_shard_begun(redis: Redis) -> bool:
    (member,) = cast("list[bytes]", redis.zrange("rq:wip:unikat-batch-a", 0, -1)) or [b""]
    status = redis.hget("rq:job:b-a-00000", "status")
    left = redis.lrange("rq:queue:unikat-batch-a", 0, -1)
    whole = status == b"started" and bool(redis.exists(b"rq:execution:" + member))
    return whole and left == [b"b-a-00001", b"b-a-00002"] and redis.hexists(batch_key("a"), "started")


def is_shard_finished(redis: Redis) -> bool:
    record = BatchProgress(redis).store.read("a")
    told = redis.zrange("rq:finished:unikat-batch-a", 0, -1) == [b"b-a-00000"]
    return record.drawn == 4 and told and not redis.exists("rq:wip:unikat-batch-a")


def with_a_settled_batch(redis: Redis) -> list[Taken]:
    with_a_batch(redis)
    redis.delete("rq:queue:unikat-batch-a")
    redis.set("unikat:batch:a:done", b"\xe0")  # three bits
    return []


def is_to_be_closed(redis: Redis) -> bool:
    job = redis.hget("rq:job:b-a-close-0", "status")
    return job == b"queued" and redis.lrange("rq:queue:unikat-batch-a", 0, -1) == [b"b-a-close-0"]


CASES = (
    Case("enqueue", nothing, lambda redis, _: enqueue(redis, [(job, draw_job()) for job in JOBS]), is_enqueued),
    Case("take", enqueued, lambda redis, _: take_jobs(redis, WORKER), is_begun),
    Case("publish", begun, publish, is_finished),
    Case(
        "close", begun, lambda redis, _: [close(redis, job, 3, stopped_status("picture-0"), 600) for job in JOBS[:1]],
        lambda redis: redis.xlen(stream_key(JOBS[0])) == 1 and redis.xlen(inbox_key("front")) == 2,
    ),
    Case("next_shard", with_a_batch, lambda redis, _: BatchProgress(redis).take(WORKER), is_shard_begun),
    Case("finish_shard", with_a_shard, finish_shard, is_shard_finished),
    Case(
        "fail_shard", with_a_shard, lambda redis, _: BatchProgress(redis).mark_failed(redis, "a", 0, 400 * "no ink "),
        lambda redis: BatchProgress(redis).store.read("a").failed_images == 4,
    ),
    Case(
        "close_batch", with_a_settled_batch, lambda redis, _: BatchProgress(redis).close_if_settled("a"),
        is_to_be_closed,
    ),
    Case("ring", requeued_by_rq, lambda redis, _: ring(redis, MODEL), is_enqueued),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_script_is_refused_whole_or_done_whole(redis: Redis, case: Case) -> None:
    refused = 0
    for spare in SPARES:
        redis.flushall()
        jobs = case.prepare(redis)
        before = everything(redis)
        with limit(redis, spare):
            try:
                case.act(redis, jobs)
            except OutOfMemoryError:
                refused += 1
                assert everything(redis) == before
        if not case.done(redis):
            case.act(redis, jobs)
        assert case.done(redis)
    assert 0 < refused < len(SPARES)


@pytest.mark.parametrize("spare", SPARES[:3])
def test_leases_are_given_up_in_a_full_valkey_since_this_frees_memory(redis: Redis, spare: int) -> None:
    finished(redis)
    with limit(redis, spare):
        release(redis, "done")
    for job in JOBS:
        assert not redis.exists(leases_key(job))
        assert max(redis.ttl(f"rq:job:{job}"), redis.ttl(f"rq:results:{job}"), redis.ttl(stream_key(job))) <= 30
    redis.flushall()
    begun(redis)
    with limit(redis, spare):
        release(redis, "gone")
    assert is_closed(redis)
    assert not any(redis.exists(leases_key(job)) for job in JOBS)


@pytest.mark.parametrize("ending", [Ending.FAILED, Ending.CANCELLED, Ending.STOPPED, Ending.FINISHED, Ending.RETURNED])
@pytest.mark.parametrize("retries", [3, 0])
def test_an_end_that_could_not_be_settled_is_settled_later(redis: Redis, ending: Ending, retries: int) -> None:
    driver, job = started(redis, retries)
    before = everything(redis)
    job.error = ValueError("no ink")
    driver.scheduler.end(job, ending)
    with limit(redis, -8192), pytest.raises(RedisError):
        settle(driver, job)
    assert recoverable(redis, job) or everything(redis) == before
    settle(driver, job)
    assert not redis.zcard(f"rq:wip:{QUEUE}")
    assert not redis.keys("rq:execution:*")
    expected = {
        Ending.FAILED: "queued" if retries else "failed", Ending.CANCELLED: "canceled", Ending.STOPPED: "stopped",
        Ending.FINISHED: "finished", Ending.RETURNED: "queued",
    }[ending]  # fmt: skip
    assert redis.hget(f"rq:job:{job.id}", "status") == expected.encode()
    ended = redis.xlen(stream_key(job.id)) == 1
    assert ended == (expected in ("failed", "canceled", "stopped"))


def test_the_jobs_of_a_dead_worker_wait_for_room(redis: Redis) -> None:
    _, job = started(redis, 3)  # it has no lease
    sweeper = Sweeper(redis, lease_s=1, max_crashes=3, result_ttl_s=600)
    before = everything(redis)
    with limit(redis, -8192), pytest.raises(RedisError):
        sweeper.sweep(0.001)
    queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
    begun = cast(list[bytes], redis.zrange(queue.started_job_registry.key, 0, -1))
    with limit(redis, -8192), pytest.raises(RedisError):  # that far it comes where it could still take its lock
        sweeper._sweep_started(queue, begun)
    assert everything(redis) == before
    assert sweeper.recovered == 0
    sweeper.sweep(0.001)
    assert sweeper.recovered == 1
    assert redis.lrange(f"rq:queue:{QUEUE}", 0, -1) == [job.id.encode()]
    assert [taken.id for taken in take_jobs(redis, "worker-2")] == [job.id]


@contextmanager
def limit(redis: Redis, spare: int) -> Iterator[None]:
    """Memory for so many bytes more."""
    redis.config_set("maxmemory", redis.info("memory")["used_memory"] + spare)
    try:
        yield
    finally:
        redis.config_set("maxmemory", 0)


def started(redis: Redis, retries: int) -> tuple[Driver, ActiveJob]:
    """A job in the hands of a worker."""
    enqueue(redis, [(JOBS[0], draw_job())], Limits(retries, LIMITS.result_ttl, LIMITS.failure_ttl))
    driver = Driver(redis, WORKER)
    job = driver.take()
    assert job is not None
    return driver, job


def settle(driver: Driver, job: ActiveJob) -> None:
    """As an inference thread does."""
    driver.settler.settle(job)


def recoverable(redis: Redis, job: ActiveJob) -> bool:
    """Whether a sweep would find the job if its worker died now."""
    found = Job.fetch(job.id, connection=redis, serializer=JSONSerializer).get_status()
    return found.value != "started" or redis.zscore(f"rq:wip:{QUEUE}", job.taken.member) is not None
