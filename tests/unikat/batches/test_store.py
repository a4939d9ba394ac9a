"""Batches in Redis: whole or not at all, and gone without a trace."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job

from tests.service.batch_hand import THREADS, BatchHand, at_once, keys_of, spec_of
from unikat.queue.batches.jobs import NoSuchBatch, batch_queue
from unikat.queue.batches.keys import OF_OWNER, OWNERS, batch_id_of, destination_key, shard_job_id
from unikat.queue.batches.places import DestinationTaken
from unikat.queue.batches.store import BatchStore, WrongState
from unikat.queue.draws import run_script
from unikat.v1.batches_pb2 import Batch


@pytest.fixture
def hand(redis: Redis) -> BatchHand:
    return BatchHand(redis)


def test_a_batch_that_was_created_has_every_shard_in_a_queue_of_its_own(hand: BatchHand, redis: Redis) -> None:
    spec = spec_of("a", 3, 7)
    assert hand.store.create("b1", spec, "content") == "content"
    assert hand.store.content("b1") == "content"
    shards = hand.shards("b1")
    assert [(shard.first, shard.count, len(shard.cells)) for shard in shards] == [(0, 4, 2), (4, 4, 1), (8, 2, 1)]
    assert {shard.fingerprint for shard in shards} == {spec.fingerprint}
    assert hand.store.spec("b1") == spec
    message = hand.store.read("b1").to_message()
    assert (message.state, message.total_count, message.revision) == (Batch.STATE_QUEUED, 10, 1)
    assert batch_queue(redis, "b1") in Queue.all(connection=redis), "RQ's tools would not list it"


def test_no_job_of_a_batch_expires_while_it_waits(hand: BatchHand, redis: Redis) -> None:
    hand.store.create("b1", spec_of("a", 10), "content")
    assert {redis.ttl(key) for key in keys_of(redis, "b1")} == {-1}


def test_the_same_id_is_the_same_batch_whoever_comes_first(hand: BatchHand, redis: Redis) -> None:
    contents = at_once(lambda n: hand.store.create("b1", spec_of(f"to{n}", 10), f"content {n}"))
    assert len(set(contents)) == 1
    assert len(hand.queued("b1")) == 3
    there = [n for n in range(THREADS) if redis.exists(destination_key(f"file:///out/to{n}"))]
    assert [f"content {n}" for n in there] == [contents[0]]


def test_twins_at_the_same_moment_are_one_batch(hand: BatchHand) -> None:
    for n in range(50):
        spec = spec_of(f"to{n}", 10)
        assert set(at_once(lambda _, n=n, spec=spec: hand.store.create(f"b{n}", spec, "content"))) == {"content"}  # type: ignore[misc]  # bound now
        assert len(hand.queued(f"b{n}")) == 3


def test_of_batches_that_want_one_destination_one_gets_it(hand: BatchHand, redis: Redis) -> None:
    def create(n: int) -> str:
        try:
            hand.store.create(f"b{n}", spec_of("same", 10), "content")
        except DestinationTaken as taken:
            return taken.batch
        return f"b{n}"

    (holder,) = set(at_once(create))
    assert [batch for _, batch in hand.store.newest(10)] == [holder]
    assert all(not keys_of(redis, f"b{n}") for n in range(THREADS) if f"b{n}" != holder)


def test_what_is_not_there_is_said_to_be_so(hand: BatchHand) -> None:
    assert hand.store.content("b1") is None
    assert hand.store.revisions(["b1"]) == [None]
    assert hand.store.read_many(["b1"]) == []
    for ask in (hand.store.read, hand.store.spec, hand.store.cancel, hand.store.retry, hand.store.delete):
        with pytest.raises(NoSuchBatch):
            ask("b1")


def test_batches_are_found_newest_first_behind_any_place(hand: BatchHand, redis: Redis) -> None:
    for n in range(6):
        hand.store.create(f"b{n}", spec_of(f"to{n}", 1), "content")
    redis.zadd("unikat:batches", {"b1": 1.0, "b2": 1.0, "b3": 1.0})  # of one moment
    places = hand.store.newest(10)
    assert [batch for _, batch in places] == ["b5", "b4", "b0", "b3", "b2", "b1"]
    for n, place in enumerate(places):
        assert hand.store.newest(10, before=place) == places[n + 1 :]
        assert hand.store.newest(2, before=place) == places[n + 1 : n + 3]


def test_a_cancelled_batch_drops_what_waits_and_is_closed(hand: BatchHand, redis: Redis) -> None:
    hand.store.create("b1", spec_of("a", 100), "content")
    first = hand.take_shard()
    hand.store.cancel("b1")
    assert hand.queued("b1") == ["b-b1-close-0"]
    assert not any(Job.exists(shard_job_id("b1", shard), connection=redis) for shard in range(1, 25))
    assert Job.exists(shard_job_id("b1", 0), connection=redis), "it is being drawn, and its worker settles it"
    hand.store.cancel("b1")  # again
    assert hand.queued("b1") == ["b-b1-close-0"]
    assert hand.store.read("b1").state == Batch.STATE_CANCELLED
    assert not hand.store.read("b1").has_ended
    hand.write(first)
    hand.close("b1")
    message = hand.store.read("b1").to_message()
    assert (message.state, message.drawn_count) == (Batch.STATE_CANCELLED, 4)
    assert message.HasField("end_time")
    hand.store.cancel("b1")
    assert hand.queued("b1") == []


@pytest.mark.parametrize("again", [True, False])
def test_what_a_canceller_left_that_died_is_dropped_by_the_next_or_at_the_end(
    hand: BatchHand, redis: Redis, again: bool
) -> None:
    hand.store.create("b1", spec_of("a", 100), "content")
    first = hand.take_shard()
    assert run_script("cancel_batch", redis, "b1") == b"0"  # and the reply is lost
    assert len(hand.queued("b1")) > 1
    if again:
        hand.store.cancel("b1")
        assert hand.queued("b1") == ["b-b1-close-0"]
    else:
        assert hand.progress.close_if_settled("b1")
    hand.write(first)
    hand.close("b1")
    assert hand.queued("b1") == []
    assert not any(Job.exists(shard_job_id("b1", shard), connection=redis) for shard in range(1, 25))


def test_shards_that_wait_for_another_try_are_dropped_with_the_rest(hand: BatchHand, redis: Redis) -> None:
    hand.store.create("b1", spec_of("a", 10), "content")
    taken = hand.take()
    assert taken is not None
    scheduled = batch_queue(redis, "b1").scheduled_job_registry
    redis.zadd(scheduled.key, {taken[1]: 2e9})
    hand.store.cancel("b1")
    assert not redis.exists(scheduled.key)
    assert not Job.exists(taken[1], connection=redis)


@pytest.mark.parametrize("fail", [(), (1,)])
def test_a_batch_that_has_ended_cannot_be_cancelled(hand: BatchHand, fail: tuple[int, ...]) -> None:
    hand.store.create("b1", spec_of("a", 10), "content")
    hand.finish("b1", fail)
    with pytest.raises(WrongState, match="ended already"):
        hand.store.cancel("b1")


def test_a_retry_enqueues_what_failed_and_only_that(hand: BatchHand, redis: Redis) -> None:
    hand.store.create("b1", spec_of("a", 30), "content")
    hand.finish("b1", fail=(2, 7))
    before = hand.store.read("b1")
    assert (before.state, before.failed_images) == (Batch.STATE_FAILED, 6)
    assert not redis.lrange(OF_OWNER + "default", 0, -1)
    hand.store.retry("b1")
    assert [(shard.shard, shard.count) for shard in hand.shards("b1")] == [(2, 4), (7, 2)]
    assert batch_queue(redis, "b1").failed_job_registry.count == 0
    during = hand.store.read("b1").to_message()
    assert (during.state, during.drawn_count, during.failed_count) == (Batch.STATE_RUNNING, 24, 0)
    assert not during.HasField("end_time")
    assert not during.manifest
    assert during.revision > before.revision
    with pytest.raises(WrongState):
        hand.store.retry("b1")  # again, while it runs
    for _ in range(2):
        hand.write(hand.take_shard())
    hand.close("b1")
    assert hand.store.read("b1").to_message().state == Batch.STATE_SUCCEEDED


def test_a_batch_can_fail_and_be_retried_any_number_of_times(hand: BatchHand) -> None:
    hand.store.create("b1", spec_of("a", 10), "content")
    hand.finish("b1", fail=(0, 1))
    for _ in range(3):
        hand.store.retry("b1")
        hand.finish("b1", fail=(1,))
        assert hand.store.read("b1").state == Batch.STATE_FAILED
    hand.store.retry("b1")
    hand.finish("b1")
    assert hand.store.read("b1").state == Batch.STATE_SUCCEEDED


def test_only_a_failed_batch_can_be_retried(hand: BatchHand) -> None:
    hand.store.create("b1", spec_of("a", 10), "content")
    with pytest.raises(WrongState, match="not FAILED"):
        hand.store.retry("b1")
    hand.fail(hand.take_shard())
    with pytest.raises(WrongState, match="not FAILED"):
        hand.store.retry("b1")  # the others are not settled yet
    hand.finish("b1")
    hand.store.retry("b1")
    hand.store.cancel("b1")
    hand.close("b1")
    with pytest.raises(WrongState, match="not FAILED"):
        hand.store.retry("b1")


def test_of_retries_at_the_same_moment_one_counts(hand: BatchHand) -> None:
    hand.store.create("b1", spec_of("a", 40), "content")
    hand.finish("b1", fail=(1, 2, 3))

    def retry(_: int) -> bool:
        try:
            hand.store.retry("b1")
        except WrongState:
            return False
        return True

    assert sum(at_once(retry)) == 1
    assert [shard.shard for shard in hand.shards("b1")] == [1, 2, 3]
    assert hand.store.read("b1").round == 1


def test_a_deleted_batch_leaves_nothing_and_frees_its_destination(hand: BatchHand, redis: Redis) -> None:
    before = set(redis.keys())
    hand.store.create("b1", spec_of("a", 30), "content")
    with pytest.raises(WrongState, match="has not ended"):
        hand.store.delete("b1")
    hand.finish("b1", fail=(2,))
    hand.store.delete("b1")
    assert keys_of(redis, "b1") == set()
    hand.take()  # which forgets owners without batches
    probes = set(redis.keys("unikat:probe:*"))  # of the wait for a replica; they last a second
    assert set(redis.keys()) - before - probes <= {b"rq:queues"}
    assert not redis.scard("rq:queues")
    hand.store.create("b1", spec_of("a", 30), "content")
    assert len(hand.queued("b1")) == 8


def test_what_a_slow_worker_says_of_a_deleted_batch_is_nothing_to_its_successor(hand: BatchHand) -> None:
    hand.store.create("b1", spec_of("a", 30), "content")
    shard = hand.shards("b1")[0]
    hand.finish("b1")
    hand.store.delete("b1")
    hand.begin("b1")
    hand.written("b1", shard.shard, shard.count)
    hand.progress.mark_failed(hand.redis, "b1", 1, "why")
    assert hand.store.revisions(["b1"]) == [None]
    assert hand.store.content("b1") is None
    with pytest.raises(NoSuchBatch):
        hand.store.read("b1")
    hand.store.create("b1", spec_of("a", 30), "content")
    record = hand.store.read("b1")
    assert (record.state, record.drawn, record.failed_images, record.revision) == (Batch.STATE_QUEUED, 0, 0, 1)


def test_a_creation_is_not_held_up_by_those_of_others(hand: BatchHand, redis: Redis) -> None:
    """Optimistic locking on what all share would let a batch lose again and again."""
    stop = threading.Event()

    def create_small() -> int:
        n = 0
        while not stop.is_set():
            hand.store.create(f"s{n}", spec_of(f"small{n}", 1), "content")
            n += 1
        return n

    with ThreadPoolExecutor(1) as thread:
        small = thread.submit(create_small)
        hand.store.create("large", spec_of("large", 2000, shard_size=1), "content")
        stop.set()
        made = small.result(20)
    run = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert run <= made + 3, "a creation is one call of a script, and the first ones find it unknown"


def test_ids_follow_from_request_ids_and_are_new_without() -> None:
    assert batch_id_of("r") == batch_id_of("r") != batch_id_of("R")
    assert len({batch_id_of("") for _ in range(100)}) == 100
    assert {len(batch_id_of(request_id)) for request_id in ("", "r", "x" * 128)} == {16}


def test_an_owner_takes_part_in_the_turns_once(hand: BatchHand, redis: Redis) -> None:
    store: BatchStore = hand.store
    for n in range(3):
        store.create(f"b{n}", spec_of(f"to{n}", 1), "content")
    assert redis.lrange(OWNERS, 0, -1) == [b"default"]
    assert redis.lrange(OF_OWNER + "default", 0, -1) == [b"b0", b"b1", b"b2"]


def test_the_shards_that_are_written_are_named_in_their_order(hand: BatchHand) -> None:
    hand.store.create("a", spec_of("a", 4 * 20), "content")
    assert hand.store.written(hand.store.read("a")) == []
    written = (17, 0, 8, 7)
    for shard in (*written, 23):  # one that the batch does not have
        hand.written("a", shard, 4)
    assert hand.store.written(hand.store.read("a")) == sorted(written)
