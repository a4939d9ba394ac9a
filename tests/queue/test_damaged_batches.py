"""What Redis holds of a batch may be damaged: the sweeper, listings and expiry go on with the others."""

from __future__ import annotations

import pytest
from redis import Redis

from tests.service.batch_hand import BatchHand, spec_of
from unikat.batches import record as r
from unikat.queue.batches.jobs import NoSuchBatch
from unikat.queue.batches.keys import batch_key, done_key, failed_key, pace_key
from unikat_worker.batches.maintenance import Maintenance
from unikat_worker.sweeper import LOCK, Sweeper

BAD, GOOD = "b" * 16, "a" * 16

FIELDS = [
    {r.HEAD: "{"}, {r.HEAD: "[]"}, {r.HEAD: "{}"}, {r.HEAD: "\\ud800"}, {r.HEAD: b"\xff"}, {r.SHARDS: "many"},
    {r.SHARDS: "-1"}, {r.SHARDS: str(2**62)}, {r.TOTAL: "x"}, {r.CREATED: "yesterday"}, {r.CREATED: "inf"},
    {r.STARTED: "nan"}, {r.ROUND: "x"}, {r.REVISION: "x"}, {r.PAUSED: "why"}, {r.BYTES: "x"}, {r.ENDED: "x"},
    {r.ENDED: "1", r.HEAD: "{"}, {r.ENDED: "1", r.BYTES: "x"},
]  # fmt: skip


def batches(redis: Redis) -> BatchHand:
    hand = BatchHand(redis)
    for batch in (BAD, GOOD):
        hand.store.create(batch, spec_of(batch, 8), "content")
    return hand


def sweep(redis: Redis) -> None:
    """Twice: a batch counts as lost when it had nothing in RQ for a while, here for no time."""
    sweeper = Sweeper(redis, lease_s=1, max_crashes=3, result_ttl_s=600)
    sweeper._batches = Maintenance(redis, look_s=0.0)
    for _ in range(2):
        redis.delete(LOCK)
        sweeper.sweep(1.0)
    sweeper.clean()


def assert_the_other_goes_on(redis: Redis, hand: BatchHand) -> None:
    """The shards of both were lost: those of the good one are there again, and it is listed."""
    taken = [found.batch for found in (hand.progress.take("somebody") for _ in range(4)) if found is not None]
    assert taken.count(GOOD) == 2, "workers go on with the other"
    redis.delete(*(f"rq:job:b-{GOOD}-{shard:05}" for shard in range(2)), f"rq:wip:unikat-batch-{GOOD}")
    for batch in (BAD, GOOD):
        redis.delete(f"rq:queue:unikat-batch-{batch}")
    sweep(redis)
    assert len(hand.queued(GOOD)) == 2
    assert GOOD in [record.id for record in hand.store.read_many([BAD, GOOD])]
    redis.hset(batch_key(GOOD), r.ENDED, "1")
    assert GOOD in hand.store.expire(0.0)


@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_a_damaged_field_of_a_batch_stops_nothing(redis: Redis, fields: dict[str, str | bytes]) -> None:
    hand = batches(redis)
    for field, value in fields.items():
        redis.hset(batch_key(BAD), field, value)
    assert_the_other_goes_on(redis, hand)


@pytest.mark.parametrize("field", [r.HEAD, r.SHARDS, r.TOTAL, r.CREATED, r.CONTENT])
def test_a_missing_field_of_a_batch_stops_nothing(redis: Redis, field: str) -> None:
    hand = batches(redis)
    redis.hdel(batch_key(BAD), field)
    assert_the_other_goes_on(redis, hand)


def test_what_is_written_of_shards_may_be_anything(redis: Redis) -> None:
    hand = batches(redis)
    redis.set(done_key(BAD), b"\xff" * 1000)
    redis.hset(failed_key(BAD), mapping={"x": "y", "-1": b"\xff", "9999": "z"})
    redis.rpush(pace_key(BAD), b"\xff", "1", "a b")
    assert_the_other_goes_on(redis, hand)


def test_a_damaged_batch_is_as_good_as_none(redis: Redis) -> None:
    hand = batches(redis)
    redis.hset(batch_key(BAD), r.HEAD, "{")
    with pytest.raises(NoSuchBatch):
        hand.store.read(BAD)
