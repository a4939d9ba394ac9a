"""What workers take, settle and end: fairly, once, and whatever dies in between."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.service.batch_hand import THREADS, BatchHand, at_once, spec_of
from unikat.batches import record as r
from unikat.batches.spec import DRAW_SHARD
from unikat.queue.batches.jobs import batch_queue, shard_fields
from unikat.queue.batches.keys import OF_OWNER, OWNERS, batch_key, close_job_id, shard_job_id
from unikat.queue.job import call_of
from unikat.v1.batches_pb2 import Batch


@pytest.fixture
def hand(redis: Redis) -> BatchHand:
    return BatchHand(redis)


def create(hand: BatchHand, batch: str, images: int, owner: str = "default") -> None:
    hand.store.create(batch, spec_of(batch, images, owner=owner), "content")


def taken(hand: BatchHand, count: int, *left_out: str) -> list[str]:
    """The batches of the next `count` shards."""
    return [found[0] for found in (hand.take(*left_out) for _ in range(count)) if found is not None]


def test_a_shard_that_is_taken_is_begun_in_the_same_step(hand: BatchHand, redis: Redis) -> None:
    create(hand, "a", 8)
    found = hand.progress.take("somebody")
    assert found is not None
    assert (found.batch, found.job.id, found.shards, found.is_written) == ("a", "b-a-00000", 2, False)
    assert hand.queued("a") == ["b-a-00001"]
    job = Job.fetch("b-a-00000", connection=redis, serializer=JSONSerializer)
    assert (job.get_status(), job.worker_name) == ("started", "somebody")
    assert batch_queue(redis, "a").started_job_registry.get_job_ids() == ["b-a-00000"]
    assert hand.store.read("a").state == Batch.STATE_RUNNING


def test_a_shard_whose_worker_died_before_its_payload_was_filled_in_is_filled_in_by_the_next(
    hand: BatchHand, redis: Redis
) -> None:
    create(hand, "a", 4)
    short = b'["worker.jobs.draw_shard",null,[],{"batch":"a","shard":0}]'
    fields = shard_fields(redis)
    there: dict[Any, Any] = dict(zip(fields[::2], fields[1::2], strict=True))
    # As the sweep puts it back: RQ compresses what it saves.
    there |= {"data": zlib.compress(short), "status": "queued", "origin": batch_queue(redis, "a").name}
    redis.hset("rq:job:b-a-00000", mapping=there)
    found = hand.progress.take("somebody")
    assert found is not None
    assert found.job.id == "b-a-00000"
    assert call_of(found.job.data, (DRAW_SHARD,))[1]["cells"]


def test_workers_that_take_at_the_same_moment_take_every_shard_once(hand: BatchHand) -> None:
    create(hand, "a", 200, "anna")
    create(hand, "b", 120, "bert")

    def take_all(_: int) -> list[tuple[str, str]]:
        found = []
        while (one := hand.take()) is not None:
            found.append(one)
        return found

    found = [one for some in at_once(take_all) for one in some]
    expected = [(batch, shard_job_id(batch, s)) for batch, shards in (("a", 50), ("b", 30)) for s in range(shards)]
    assert sorted(found) == sorted(expected)


def test_a_paused_batch_is_passed_over_until_its_time_has_come(hand: BatchHand, redis: Redis) -> None:
    create(hand, "a", 40, "anna")
    create(hand, "next", 8, "anna")
    create(hand, "b", 8, "bert")
    hand.begin("a")
    hand.progress.pause("a", "no space left on device", 60)
    assert sorted(taken(hand, 5)) == ["b", "b", "next", "next"]
    record = hand.store.read("a")
    assert record.to_message().pause.reason == "no space left on device"
    hand.progress.pause("a", "no space left on device", 60)  # tried again, to no avail
    again = hand.store.read("a")
    assert again.revision == record.revision, "nothing has changed for those who watch"
    assert again.fields[r.PAUSED_SINCE] == record.fields[r.PAUSED_SINCE]
    hand.progress.pause("a", "permission denied", -1)  # and its time is over
    assert hand.store.read("a").revision > again.revision
    assert taken(hand, 1) == ["a"]
    hand.write(spec_of("a", 40).shard_job("a", 0))
    assert not hand.store.read("a").to_message().HasField("pause")


def test_a_batch_runs_from_the_first_shard_that_is_begun(hand: BatchHand) -> None:
    create(hand, "a", 8)
    hand.begin("a")
    started = hand.store.read("a").fields[r.STARTED]
    hand.begin("a")
    assert hand.store.read("a").fields[r.STARTED] == started
    assert hand.store.read("a").state == Batch.STATE_RUNNING


def test_a_shard_that_is_written_twice_counts_once(hand: BatchHand) -> None:
    create(hand, "a", 10)
    shard = hand.take_shard()
    for _ in range(2):
        hand.write(shard)
    assert hand.store.read("a").drawn == 4
    assert hand.progress.is_done("a", 0)
    assert not hand.progress.is_done("a", 1)


def test_a_shard_that_failed_and_is_written_after_all_has_not_failed(hand: BatchHand) -> None:
    create(hand, "a", 10)
    shard = hand.take_shard()
    hand.fail(shard)
    hand.write(shard)
    record = hand.store.read("a")
    assert (record.drawn, record.failed_images) == (4, 0)


def test_a_shard_that_is_written_cannot_fail_any_more(hand: BatchHand) -> None:
    create(hand, "a", 10)
    shard = hand.take_shard()
    hand.write(shard)
    hand.fail(shard)  # by a worker that was given up, and woke up
    record = hand.store.read("a")
    assert (record.drawn, record.failed_images) == (4, 0)


def test_every_change_is_a_revision(hand: BatchHand) -> None:
    create(hand, "a", 10)
    seen = [hand.store.read("a").revision]
    steps: list[Callable[[], object]] = [
        lambda: hand.begin("a"),
        lambda: hand.write(hand.take_shard()),
        lambda: hand.progress.pause("a", "full", -1),
        lambda: hand.fail(hand.take_shard()),
        lambda: hand.write(hand.take_shard()),
        lambda: hand.close("a"),
        lambda: hand.store.retry("a"),
        lambda: hand.store.cancel("a"),
    ]
    for step in steps:
        step()
        seen.append(hand.store.revisions(["a"])[0] or 0)
    assert seen == sorted(set(seen))


def test_the_last_shard_enqueues_one_close_job_whoever_is_last(hand: BatchHand, redis: Redis) -> None:
    create(hand, "a", 4 * THREADS)
    shards = [hand.take_shard() for _ in range(THREADS)]
    at_once(lambda n: hand.write(shards[n]))
    assert hand.queued("a") == [close_job_id("a", 0)]
    assert at_once(lambda _: hand.progress.close_if_settled("a")) == [True] * THREADS
    assert hand.queued("a") == [close_job_id("a", 0)]
    assert Job.exists(close_job_id("a", 0), connection=redis)
    hand.close("a")
    assert not hand.progress.close_if_settled("a")
    assert hand.queued("a") == []


def test_a_batch_with_shards_in_hand_is_not_closed(hand: BatchHand) -> None:
    create(hand, "a", 8)
    hand.write(hand.take_shard())
    assert not hand.progress.close_if_settled("a")
    hand.fail(hand.take_shard())
    assert hand.queued("a") == [close_job_id("a", 0)]


def test_of_closers_at_the_same_moment_one_ends_the_batch(hand: BatchHand) -> None:
    create(hand, "a", 4)
    hand.write(hand.take_shard())
    assert hand.take() == ("a", close_job_id("a", 0))
    hand.redis.delete("rq:wip:unikat-batch-a")  # RQ has heard that it is finished
    assert sum(at_once(lambda n: hand.progress.end("a", 0, f"file:///m{n}"))) == 1
    assert hand.store.read("a").state == Batch.STATE_SUCCEEDED
    assert hand.progress.active() == []


def test_a_closer_of_an_earlier_round_ends_nothing(hand: BatchHand) -> None:
    create(hand, "a", 10)
    hand.finish("a", fail=(1,))
    hand.store.retry("a")
    assert not hand.progress.end("a", 0, "file:///m")
    assert not hand.store.read("a").has_ended
    assert hand.progress.active() == ["a"]


def test_the_close_job_of_every_round_is_another(hand: BatchHand) -> None:
    create(hand, "a", 10)
    hand.finish("a", fail=(1,))
    for round in (1, 2):
        hand.store.retry("a")
        hand.fail(hand.take_shard())
        assert hand.queued("a") == [close_job_id("a", round)]
        hand.close("a")


def test_the_batches_that_have_not_ended_are_known(hand: BatchHand, redis: Redis) -> None:
    for batch, owner in (("a", "anna"), ("b", "bert"), ("c", "anna")):
        create(hand, batch, 4, owner)
    assert sorted(hand.progress.active()) == ["a", "b", "c"]
    hand.finish("b")
    assert sorted(hand.progress.active()) == ["a", "c"]
    assert taken(hand, 3) == ["a", "c"]
    assert redis.lrange(OWNERS, 0, -1) == [b"anna"], "an owner without batches still takes part in the turns"
    assert redis.exists(OF_OWNER + "bert") == 0


def test_shards_that_are_lost_are_enqueued_again_and_only_these(hand: BatchHand, redis: Redis) -> None:
    create(hand, "a", 40)
    hand.write(hand.take_shard())
    hand.fail(hand.take_shard())
    assert hand.progress.reconcile("a") == [], "there are others in the queue"
    redis.delete(batch_queue(redis, "a").key)  # by somebody's hand
    assert hand.progress.reconcile("a") == [2, 3, 4, 5, 6, 7, 8, 9]
    assert [shard.shard for shard in hand.shards("a")] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert hand.progress.reconcile("a") == []


@pytest.mark.parametrize("place", ["intermediate", "started", "scheduled"])
def test_shards_that_are_under_way_are_not_lost(hand: BatchHand, redis: Redis, place: str) -> None:
    create(hand, "a", 4)
    queue = batch_queue(redis, "a")
    assert hand.take() is not None
    if place != "started":
        redis.delete(queue.started_job_registry.key)
    if place == "intermediate":  # where workers of the release before have them for a moment
        redis.rpush(queue.intermediate_queue_key, "b-a-00000")
    elif place == "scheduled":
        redis.zadd(queue.scheduled_job_registry.key, {"b-a-00000": time.time() + 60})
    assert hand.progress.reconcile("a") == []
    assert hand.queued("a") == []


@pytest.mark.parametrize("way", ["settled", "cancelled"])
def test_a_batch_whose_close_job_is_lost_is_closed_after_all(hand: BatchHand, redis: Redis, way: str) -> None:
    create(hand, "a", 4)
    if way == "settled":
        hand.write(hand.take_shard())
    else:
        hand.store.cancel("a")
    redis.delete(batch_queue(redis, "a").key, Job.key_for(close_job_id("a", 0)))
    assert hand.progress.reconcile("a") == []
    assert hand.queued("a") == [close_job_id("a", 0)]
    hand.close("a")
    assert hand.progress.reconcile("a") == []


def test_reconcilers_at_the_same_moment_enqueue_nothing_twice(hand: BatchHand, redis: Redis) -> None:
    create(hand, "a", 40)
    redis.delete(batch_queue(redis, "a").key)
    found = at_once(lambda _: hand.progress.reconcile("a"))
    assert sorted(found, key=len)[-1] == list(range(10))
    assert sum(map(bool, found)) == 1
    assert len(hand.queued("a")) == 10


def test_a_batch_that_is_gone_stands_in_nobodys_way(hand: BatchHand, redis: Redis) -> None:
    create(hand, "a", 40)
    redis.delete(batch_key("a"), batch_queue(redis, "a").key)  # torn out, as after a loss of data
    create(hand, "b", 4)
    assert taken(hand, 3) == ["b"]
