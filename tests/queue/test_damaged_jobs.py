"""Jobs in Redis that are damaged, or far too large, disturb no other job of the same script call."""

from __future__ import annotations

import pytest
from redis import Redis

from tests.queue.driver import QUEUE, draw_job, enqueue, take_jobs
from unikat.queue.job import MAX_PAYLOAD

HUGE = b"x" * (MAX_PAYLOAD + 1)


@pytest.mark.parametrize("field", ["data", "unikat", "meta"])
def test_a_field_that_is_too_large_reads_as_empty_and_the_others_are_whole(redis: Redis, field: str) -> None:
    assert enqueue(redis, [(name, draw_job()) for name in ("a", "b", "c")]) == ["queued"] * 3
    whole = {name: redis.hget("rq:job:b", name) for name in ("data", "unikat")}
    others = [redis.hget(f"rq:job:{name}", "data") for name in ("a", "c")]
    redis.hset("rq:job:b", field, HUGE)
    taken = {job.id: job for job in take_jobs(redis, "w")}
    assert taken.keys() == {"a", "b", "c"}
    found = {"data": taken["b"].data, "unikat": taken["b"].extra}
    assert found == {name: b"" if name == field else value for name, value in whole.items()}
    assert [taken["a"].data, taken["c"].data] == others
    assert taken["b"].foreign == taken["a"].foreign


def test_a_field_of_the_largest_size_is_read(redis: Redis) -> None:
    enqueue(redis, [("a", draw_job())])
    redis.hset("rq:job:a", "data", HUGE[:-1])
    assert len(take_jobs(redis, "w")[0].data) == MAX_PAYLOAD


def test_what_is_no_hash_is_not_taken(redis: Redis) -> None:
    enqueue(redis, [("a", draw_job()), ("b", draw_job())])
    redis.delete("rq:job:a")
    redis.set("rq:job:a", HUGE)
    assert [job.id for job in take_jobs(redis, "w")] == ["b"]


@pytest.mark.parametrize("damage", [{"data": HUGE}, {"meta": HUGE}, {"unikat_deadline": b"soon"}, {"origin": b"\xff"}])
def test_a_call_for_a_damaged_job_does_not_fail_the_others(redis: Redis, damage: dict[str, bytes]) -> None:
    enqueue(redis, [("a", draw_job())])
    for field, value in damage.items():
        redis.hset("rq:job:a", field, value)
    assert enqueue(redis, [("a", draw_job()), ("b", draw_job())]) == ["exists", "queued"]
    assert b"b" in redis.lrange(f"rq:queue:{QUEUE}", 0, -1)


def test_a_job_with_images_and_a_field_that_is_too_large_keeps_its_images(redis: Redis) -> None:
    enqueue(redis, [("a", draw_job())])
    redis.xadd("unikat:stream:a", {"response": b"x"}, id="1-0")
    redis.xadd("unikat:stream:a", {"status": b"", "code": "0"}, id="3-0")
    redis.hset("rq:job:a", "meta", HUGE)
    take_jobs(redis, "w")
    assert redis.xlen("unikat:stream:a") == 2
