"""WatchBatch: every change, from where the caller left off, until the batch has ended."""

from __future__ import annotations

import queue
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Protocol, cast

import grpc
import pytest

from tests.service.batch_hand import BatchHand
from tests.service.calls import error_from, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.support.valkey import Valkey, running_valkey
from unikat.errors import NotFound, Reason, Unavailable
from unikat.v1.batches_pb2 import (
    Batch,
    CreateBatchRequest,
    DeleteBatchRequest,
    Plan,
    WatchBatchRequest,
)
from unikat.v1.batches_pb2_grpc import BatchesStub

OPEN = {"UNIKAT_DESTINATIONS": "/out"}


class Watching(Protocol):
    """A WatchBatch call in flight."""

    def __iter__(self) -> Iterator[Batch]: ...
    def __next__(self) -> Batch: ...
    def cancel(self) -> bool: ...


@pytest.fixture(scope="module")
def shop() -> Iterator[Serving]:
    """A service for the tests of this module."""
    with running_valkey() as valkey, serving_on(valkey, **OPEN) as serving:
        yield serving
        assert "Traceback" not in serving.program.output


def create(serving: Serving, images: int = 1000) -> str:
    """A batch of shards of 256; its id."""
    request = CreateBatchRequest(model="tiny", plans=[Plan(count=images)], destination=f"/out/{uuid.uuid4().hex}")
    return serving.batches.CreateBatch(request).id


def watch(serving: Serving, batch: str, after: int = 0, timeout: float = 30) -> Watching:
    """Begin to watch."""
    request = WatchBatchRequest(id=batch, after_revision=after)
    return cast(Watching, serving.batches.WatchBatch(request, timeout=timeout))


def test_a_watcher_hears_of_every_change_until_the_end(shop: Serving) -> None:
    batch, hand = create(shop), BatchHand(shop.redis)
    watching = watch(shop, batch)
    assert next(watching).state == Batch.STATE_QUEUED
    hand.begin(batch)
    assert next(watching).state == Batch.STATE_RUNNING
    shards = hand.shards(batch)
    for written, shard in enumerate(shards, 1):
        if shard is shards[-1]:
            hand.fail(shard, "cannot be drawn")
        else:
            hand.write(shard)
            assert next(watching).drawn_count == 256 * written
    assert next(watching).failures[0].message == "cannot be drawn"
    hand.close(batch)
    last = next(watching)
    assert last.state == Batch.STATE_FAILED
    assert last.HasField("end_time")
    assert list(watching) == []


def test_a_watcher_is_told_of_a_pause_and_of_its_end(shop: Serving) -> None:
    batch, hand = create(shop), BatchHand(shop.redis)
    hand.begin(batch)
    watching = watch(shop, batch)
    assert not next(watching).HasField("pause")
    hand.progress.pause(batch, "no space left on device", 60)
    assert next(watching).pause.reason == "no space left on device"
    hand.write(hand.shards(batch)[0])
    assert not next(watching).HasField("pause")


def test_messages_come_without_plans_and_revisions_grow(shop: Serving) -> None:
    batch, hand = create(shop, 256 * 40), BatchHand(shop.redis)
    watching = watch(shop, batch)
    seen = [next(watching)]
    hand.finish(batch)
    seen += watching
    assert not any(message.plans for message in seen)
    revisions = [message.revision for message in seen]
    assert revisions == sorted(set(revisions))
    assert seen[-1].state == Batch.STATE_SUCCEEDED
    assert len(seen) < 40, "changes within a fraction of a second come as one"


def test_a_resumed_watch_sends_nothing_again_and_waits_for_what_is_new(shop: Serving) -> None:
    batch, hand = create(shop), BatchHand(shop.redis)
    first = watch(shop, batch)
    held = next(first).revision
    first.cancel()
    news: queue.Queue[Batch] = queue.Queue()
    resumed = watch(shop, batch, after=held)

    def listen() -> None:
        for message in resumed:
            news.put(message)

    listener = threading.Thread(target=listen)
    listener.start()
    other = watch(shop, batch)  # begun later; when it has its first message, so would have the other
    assert next(other).revision == held
    assert news.empty()
    hand.finish(batch)
    listener.join(10)
    assert news.get(timeout=10).revision > held


def test_a_watch_resumed_behind_the_end_ends_at_once(shop: Serving) -> None:
    batch, hand = create(shop), BatchHand(shop.redis)
    hand.finish(batch)
    (last,) = watch(shop, batch)
    assert last.HasField("end_time")
    assert list(watch(shop, batch, after=last.revision)) == []
    assert [message.revision for message in watch(shop, batch, after=last.revision - 1)] == [last.revision]


def test_a_batch_that_is_deleted_ends_its_watches(shop: Serving) -> None:
    batch, hand = create(shop), BatchHand(shop.redis)
    with serving_on(shop.valkey) as other:  # whose watcher hears of it from Redis alone
        watching = watch(other, batch)
        next(watching)
        hand.store.cancel(batch)
        next(watching)
        hand.redis.hset(f"unikat:batch:{batch}", "ended", str(time.time()))  # unnoticed: no revision
        shop.batches.DeleteBatch(DeleteBatchRequest(id=batch))
        error = refusal_of(iter, watching)
    assert isinstance(error, NotFound)
    assert list(error.fields) == ["id"]


def test_a_restart_of_redis_is_nothing_but_a_pause_for_watches(durable_valkey: Valkey) -> None:
    with serving_on(durable_valkey, **OPEN) as serving:
        batch, hand = create(serving), BatchHand(serving.redis)
        watching = watch(serving, batch, timeout=60)
        revision = next(watching).revision
        durable_valkey.kill()
        serving.program.wait_for_line("Watching batches: ")
        durable_valkey.start()
        hand.touch(batch)
        assert next(watching).revision == revision + 1
        hand.finish(batch)
        assert list(watching)[-1].HasField("end_time")


def test_watches_are_told_at_once_to_come_back_when_the_service_ends(valkey: Valkey) -> None:
    with serving_on(valkey, **OPEN, UNIKAT_GRACE_S="60") as serving:
        batch = create(serving)
        watching = watch(serving, batch, timeout=60)
        held = next(watching).revision
        serving.program.process.send_signal(signal.SIGTERM)
        error = refusal_of(iter, watching)
        assert isinstance(error, Unavailable)
        assert error.reason == Reason.SHUTTING_DOWN
        assert error.retry_after
        assert serving.program.wait(20) == 0, "a watch kept it from ending"
        assert "Traceback" not in serving.program.output
    with serving_on(valkey, **OPEN) as successor:
        resumed = watch(successor, batch, after=held)
        BatchHand(successor.redis).finish(batch)
        assert list(resumed)[-1].HasField("end_time")


def test_a_killed_service_loses_nothing_for_those_who_watch(valkey: Valkey) -> None:
    with serving_on(valkey, **OPEN) as serving:
        batch, hand = create(serving), BatchHand(serving.redis)
        watching = watch(serving, batch)
        held = next(watching).revision
        serving.program.kill()
        with pytest.raises(grpc.RpcError) as caught:
            next(watching)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        hand.write(hand.shards(batch)[0])
        with serving_on(valkey, **OPEN) as successor:
            assert next(watch(successor, batch, after=held)).drawn_count == 256


def test_any_number_of_watches_costs_one_look_a_round(serving: Serving) -> None:
    with serving_on(serving.valkey, **OPEN) as shop:
        batch, hand = create(shop), BatchHand(shop.redis)
        channels = [grpc.insecure_channel(shop.target) for _ in range(4)]
        watches = [
            cast(Watching, BatchesStub(channel).WatchBatch(WatchBatchRequest(id=batch), timeout=60))
            for channel in channels
            for _ in range(25)
        ]
        assert {next(each).revision for each in watches} == {1}
        asked, begin = looks(shop), time.monotonic()
        for _ in range(5):
            revision = hand.touch(batch)
            assert {next(each).revision for each in watches} == {revision}
        rounds = (time.monotonic() - begin) / 0.2
        assert looks(shop) - asked <= rounds + 2
        for each in watches:
            each.cancel()
        for channel in channels:
            channel.close()


def looks(serving: Serving) -> int:
    """How often some fields of a hash were read: the watcher looks at revisions."""
    stats = serving.redis.info("commandstats")
    return int(stats["cmdstat_hmget"]["calls"])


def test_a_watcher_that_reads_slowly_gets_what_is_newest_and_the_end(shop: Serving) -> None:
    batch, hand = create(shop, 256 * 200), BatchHand(shop.redis)
    watching = watch(shop, batch, timeout=60)
    first = next(watching)
    hand.finish(batch)  # two hundred changes while nobody reads
    seen = list(watching)
    assert first.drawn_count == 0
    assert seen[-1].drawn_count == 256 * 200
    assert seen[-1].HasField("end_time")


def test_a_watch_with_a_deadline_ends_with_it(shop: Serving) -> None:
    watching = watch(shop, create(shop), timeout=0.5)
    next(watching)
    with pytest.raises(grpc.RpcError) as caught:
        next(watching)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(AssertionError):
        error_from(caught.value)  # the client's own, without details
