"""A Redis whose memory is full: it refuses some entries and takes others."""

from __future__ import annotations

from functools import partial

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from tests.support.processes import Program, eventually
from tests.worker.bench import Bench, assert_complete
from unikat.bundle import Bundle
from unikat_worker.exchange import Exchange


def test_commands_that_belong_together_are_done_together_or_not_at_all(redis: Redis) -> None:
    replies: list[object] = []
    exchange = Exchange(redis)
    exchange.pipeline.set("before", "1")
    exchange.together([(("SET", "one", "1"), replies.append), (("GET", "one"), replies.append)])
    exchange.execute()
    assert replies == [b"OK", b"1"]

    exchange = Exchange(redis)
    exchange.together([(("SET", "one"), replies.append), (("SET", "two", "2"), replies.append)])
    with pytest.raises(ResponseError, match="wrong number of arguments"):
        exchange.execute()
    assert (len(replies), redis.get("two")) == (2, None)


def test_a_handler_that_fails_keeps_no_reply_from_the_others(redis: Redis) -> None:
    def fail(reply: object) -> None:
        raise ValueError(f"no use for {reply!r}")

    replies: list[object] = []
    exchange = Exchange(redis)
    exchange.pipeline.get("nothing")
    exchange.on_reply(fail)
    exchange.pipeline.lpush("list", "1")
    exchange.on_reply(replies.append)
    with pytest.raises(ValueError, match="no use for None"):
        exchange.execute()
    assert replies == [1]


def test_a_full_redis_is_an_error_of_its_own(redis: Redis) -> None:
    exchange = Exchange(redis)
    redis.config_set("maxmemory", 1)
    exchange.together([(("SET", "one", "1"), lambda _: None)])
    with pytest.raises(OutOfMemoryError):
        exchange.execute()


def refused_more_than(worker: Program, times: int) -> bool:
    return worker.output.count("maxmemory") > times


def test_a_redis_that_is_full_in_the_middle_leaves_no_gap(bench: Bench, bundle: Bundle) -> None:
    with bench.worker(inference_threads=2, max_batch=8) as worker:
        for seed in range(4):
            refusals = worker.output.count("maxmemory")
            # Room for the job and a part of its images.
            bench.redis.config_set("maxmemory", bench.redis.info("memory")["used_memory"] + 2**18)
            job = bench.enqueue(bundle.model.digest, count=4000, seed=seed)
            eventually(partial(refused_more_than, worker, refusals))
            bench.redis.config_set("maxmemory", 0)
            assert_complete(bench.outcome(job), 4000)
