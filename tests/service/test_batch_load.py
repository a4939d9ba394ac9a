"""Many callers, large batches, kills: a batch is made once and whole, and nobody else waits for it."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import cast

import grpc
from redis import Redis

from tests.service.batch_hand import BatchHand
from tests.service.calls import refusal_of
from tests.service.conftest import serving_on
from tests.service.test_batch_watch import watch
from tests.service.test_batches import OPEN, wish
from tests.service.test_load import memory_of
from tests.support.valkey import Valkey
from unikat.errors import Reason, Unavailable
from unikat.queue.batches.keys import batch_id_of, batch_key, destination_key
from unikat.v1.batches_pb2 import Batch, CancelBatchRequest, CreateBatchRequest, DeleteBatchRequest, GetBatchRequest
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.studio_pb2 import GenerateRequest


def test_twenty_calls_at_once_with_one_request_id_are_one_batch_on_two_services(valkey: Valkey) -> None:
    with serving_on(valkey, **OPEN) as one, serving_on(valkey, **OPEN) as other:
        for _ in range(5):
            asked = wish(5000, str(uuid.uuid4()))
            barrier = threading.Barrier(20)

            def create(n: int, asked: CreateBatchRequest = asked, barrier: threading.Barrier = barrier) -> Batch:
                barrier.wait()
                return (one, other)[n % 2].batches.CreateBatch(asked, timeout=60)

            with ThreadPoolExecutor(20) as threads:
                batches = list(threads.map(create, range(20)))
            assert {batch.id for batch in batches} == {batch_id_of(asked.request_id)}
            assert len({batch.seed for batch in batches}) == 1
            shards = BatchHand(one.redis).shards(batches[0].id)
            assert [shard.shard for shard in shards] == list(range(20))
        assert one.redis.zcard("unikat:batches") == 5


def test_a_service_killed_in_the_middle_of_a_creation_leaves_a_whole_batch_or_none(valkey: Valkey) -> None:
    outcomes = []
    for n, delay in enumerate((0.0, 0.001, 0.002, 0.004, 0.02, 0.2)):
        asked = wish(500_000, f"r{n}", destination=f"/out/{n}", shard_size=250)
        batch = batch_id_of(asked.request_id)
        with serving_on(valkey, **OPEN) as serving:
            creating = BatchesStub(serving.channel).CreateBatch.future(asked, timeout=60)
            with suppress(grpc.FutureTimeoutError, grpc.RpcError):
                creating.result(timeout=delay)
            serving.program.kill()
            outcomes.append(is_whole(serving.redis, batch))
        if not outcomes[-1]:
            assert not serving.redis.exists(batch_key(batch))
            assert not serving.redis.exists(destination_key(f"file:///out/{n}"))
    with serving_on(valkey, **OPEN) as successor:
        for n in range(len(outcomes)):
            again = wish(500_000, f"r{n}", destination=f"/out/{n}", shard_size=250)
            assert successor.batches.CreateBatch(again, timeout=60).shard_count == 2000
            assert is_whole(successor.redis, batch_id_of(f"r{n}"))
    assert False in outcomes, "no creation was cut off"


def is_whole(redis: Redis, batch: str) -> bool:
    """Whether a batch of 2,000 shards is there, to the last one; an assertion fails if it is there in part."""
    hand = BatchHand(redis)
    if hand.store.content(batch) is None:
        return False
    assert [shard.shard for shard in hand.shards(batch)] == list(range(2000))
    assert hand.store.read(batch).to_message().total_count == 500_000
    assert batch in hand.progress.active()
    return True


def test_a_redis_that_is_away_is_said_to_be_and_nothing_is_half_done(durable_valkey: Valkey) -> None:
    with serving_on(durable_valkey, **OPEN) as serving:
        batch = serving.batches.CreateBatch(wish())
        durable_valkey.kill()
        for call, request in (
            (serving.batches.GetBatch, GetBatchRequest(id=batch.id)),
            (serving.batches.CancelBatch, CancelBatchRequest(id=batch.id)),
            (serving.batches.CreateBatch, wish()),
        ):
            error = refusal_of(call, request)
            assert isinstance(error, Unavailable)
            assert error.reason == Reason.STORE_UNAVAILABLE
            assert error.retry_after
        durable_valkey.start()
        assert serving.batches.GetBatch(GetBatchRequest(id=batch.id)) == batch


def test_a_caller_that_leaves_while_its_batch_is_made_does_no_harm(valkey: Valkey) -> None:
    with serving_on(valkey, **OPEN) as shop:
        asked = [wish(200_000, str(uuid.uuid4())) for _ in range(6)]
        calls = [shop.batches.CreateBatch.future(each, timeout=60) for each in asked]
        for call in calls:
            cast("grpc.Future[Batch]", call).cancel()
        for each in asked:
            assert shop.batches.CreateBatch(each, timeout=60).shard_count == 782
            assert len(BatchHand(shop.redis).queued(batch_id_of(each.request_id))) == 782


def test_interactive_calls_go_on_while_the_largest_batch_is_made(valkey: Valkey) -> None:
    with serving_on(valkey, **OPEN) as serving:
        creating = [serving.batches.CreateBatch.future(wish(1_000_000), timeout=60) for _ in range(3)]
        while True:  # once at least
            begin = time.monotonic()
            call = serving.generate(GenerateRequest(model="tiny", count=1))
            assert next(call).HasField("accepted")
            assert time.monotonic() - begin < 2, "an interactive call waited for a batch to be made"
            serving.hand.take().complete()
            assert len(list(call)) == 2
            if all(each.done() for each in creating):
                break
        assert [call.result().shard_count for call in creating] == [3907] * 3


def test_memory_stays_flat_over_batches_and_watches(valkey: Valkey, is_long: bool) -> None:
    rounds = 40 if is_long else 12
    with serving_on(valkey, **OPEN) as serving:
        hand = BatchHand(serving.redis)

        def load() -> int:
            for _ in range(rounds):
                batch = serving.batches.CreateBatch(wish(10_000)).id
                watches = [watch(serving, batch) for _ in range(3)]
                assert {next(each).revision for each in watches} == {1}
                watches.pop().cancel()
                serving.batches.CancelBatch(CancelBatchRequest(id=batch))
                hand.close(batch)
                assert all(list(each)[-1].HasField("end_time") for each in watches)
                serving.batches.DeleteBatch(DeleteBatchRequest(id=batch))
            return memory_of(serving)

        load()
        warmed_up = load()
        assert load() - warmed_up < 2 * 2**20
        assert "Traceback" not in serving.program.output
