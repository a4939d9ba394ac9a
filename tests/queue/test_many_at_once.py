"""Many jobs by one call of a script: as if each had come alone."""

from __future__ import annotations

from typing import cast

from redis import Redis

from tests.queue.driver import (
    MODEL,
    QUEUE,
    draw_job,
    enqueue,
    enqueue_arguments,
    enqueue_head,
    publish_all,
    run,
    take_jobs,
)
from unikat.queue.draws import Completion, Publication
from unikat.queue.job import rq_result
from unikat.queue.keys import queue_name

OTHER = "other@1.ba9876543210"


def submit(redis: Redis, *jobs: tuple[str, str, str]) -> None:
    """Enqueue (job, model key, caller) by one call."""
    arguments = [
        each
        for name, model, caller in jobs
        for each in enqueue_arguments(name, draw_job(), model=model, queue=queue_name(model, caller))
    ]
    run(redis, "enqueue", *enqueue_head(), *arguments)


def test_a_job_that_is_asked_for_twice_by_one_call_is_there_once(redis: Redis) -> None:
    assert enqueue(redis, [(name, draw_job()) for name in ("a", "b", "a")]) == ["queued", "queued", "exists"]
    assert redis.lrange(f"rq:queue:{QUEUE}", 0, -1) == [b"a", b"b"]
    assert [job.id for job in take_jobs(redis, "w1")] == ["a", "b"]


def test_callers_take_turns_until_one_is_left(redis: Redis) -> None:
    submit(redis, *((f"a{number}", MODEL, "ada") for number in range(4)), ("b0", MODEL, "bob"), ("b1", MODEL, "bob"))
    assert [job.id for job in take_jobs(redis, "w1", 3)] == ["a0", "b0", "a1"]
    assert [job.id for job in take_jobs(redis, "w1", 8)] == ["b1", "a2", "a3"]


def test_models_take_turns_until_one_is_left(redis: Redis) -> None:
    submit(redis, *((f"a{number}", MODEL, "ada") for number in range(4)), ("b0", OTHER, "ada"))
    assert [job.id for job in take_jobs(redis, "w1", 3, models=(MODEL, OTHER))] == ["a0", "b0", "a1"]
    assert [job.id for job in take_jobs(redis, "w1", 8, models=(MODEL, OTHER))] == ["a2", "a3"]


def test_jobs_that_are_finished_together_are_each_in_rqs_registries(redis: Redis) -> None:
    names = [f"job-{number}" for number in range(5)]
    enqueue(redis, [(name, draw_job(count=1)) for name in names])
    jobs = take_jobs(redis, "w1")
    done = Completion(rq_result({}), jobs[0].begun_at - 1.5, 600, last=2)
    states = publish_all(redis, "w1", [Publication(job, 1, [b"image", b"end"], done) for job in jobs])
    assert [each.state for each in states] == ["finished"] * 5
    assert redis.zrange(f"rq:finished:{QUEUE}", 0, -1) == [name.encode() for name in names]
    assert redis.keys("rq:execution*") == []
    assert not redis.exists(f"rq:wip:{QUEUE}", "rq:worker:w1:executions")
    totals = redis.hmget("rq:worker:w1", "successful_job_count", "total_working_time")
    count, seconds = cast(list[bytes], totals)
    assert int(count) == 5
    assert 7.5 <= float(seconds) < 60
