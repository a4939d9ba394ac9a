"""Batches are created once and whole, whoever asks how often and whatever is killed; and ended as callers say."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from redis import Redis

from tests.service.batch_hand import BatchHand, keys_of
from tests.service.calls import code_of, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.service.test_batch_watch import watch
from tests.service.test_load import memory_of
from tests.support.valkey import Valkey, running_valkey
from unikat.batches.keys import batch_id_of, destination_key
from unikat.errors import InvalidRequest, NotFound, Reason, Unavailable, WrongState
from unikat.v1.batches_pb2 import (
    Batch,
    CancelBatchRequest,
    CreateBatchRequest,
    DeleteBatchRequest,
    GetBatchRequest,
    Grid,
    Plan,
    RetryBatchRequest,
    WatchBatchRequest,
)
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.studio_pb2 import Blend, Condition, GenerateRequest, ImageFormat

OPEN = {"UNIKAT_DESTINATIONS": "/out"}


@pytest.fixture(scope="module")
def shop() -> Iterator[Serving]:
    """A service for the tests of this module, which use folders of their own."""
    with running_valkey() as valkey, serving_on(valkey, **OPEN) as serving:
        yield serving
        assert "Traceback" not in serving.program.output


@pytest.fixture
def hand(shop: Serving) -> BatchHand:
    """The worker's side of it."""
    return BatchHand(shop.redis)


def wish(images: int = 1000, request_id: str = "", **fields: object) -> CreateBatchRequest:
    """A request for a folder of its own."""
    right = {"model": "tiny", "plans": [Plan(count=images)], "destination": f"/out/{uuid.uuid4().hex}"}
    return CreateBatchRequest(**(right | {"request_id": request_id} | fields))  # type: ignore[arg-type]  # checked there


def test_a_batch_is_returned_with_all_that_was_left_open(shop: Serving) -> None:
    blend = Condition(attribute="style", blend=Blend(weights={"oil": 3, "ink": 1}))
    asked = wish(plans=[Plan(count=300), Plan(conditions=[blend], count=5)], destination="/out//left-open/")
    batch = shop.batches.CreateBatch(asked)
    assert (batch.model, batch.destination, batch.owner) == ("tiny@1", "file:///out/left-open", "default")
    assert (batch.state, batch.total_count, batch.shard_count) == (Batch.STATE_QUEUED, 305, 2)
    assert batch.format == ImageFormat.IMAGE_FORMAT_PNG
    assert batch.truncation == pytest.approx(0.8)
    assert batch.model_digest.startswith("sha256:")
    assert dict(batch.plans[1].conditions[0].blend.weights) == {"ink": 0.25, "oil": 0.75}
    assert shop.batches.GetBatch(GetBatchRequest(id=batch.id)) == batch


def test_what_was_given_is_kept(shop: Serving) -> None:
    given: dict[str, Any] = {
        "seed": 2**64 - 1,
        "truncation": 0.5,
        "owner": "anna@art",
        "labels": {"for": "ü", "a": ""},
        "format": 2,
    }
    batch = shop.batches.CreateBatch(wish(**given, layout=2, shard_size=100))
    assert (batch.seed, batch.truncation, batch.owner) == (2**64 - 1, 0.5, "anna@art")
    assert (batch.format, batch.layout, batch.shard_size) == (2, 2, 100)
    assert dict(batch.labels) == given["labels"]


def test_a_grid_is_returned_as_its_combinations(shop: Serving) -> None:
    grid = Grid(axes=[{"attribute": "style", "categories": ["oil", "ink"]}, {"attribute": "subject"}], count=3)
    batch = shop.batches.CreateBatch(wish(plans=[], grid=grid))
    found = [tuple(condition.category for condition in plan.conditions) for plan in batch.plans]
    assert found == [("oil", "sea"), ("oil", "hill"), ("ink", "sea"), ("ink", "hill")]
    assert batch.total_count == 12


def test_seeds_are_picked_and_follow_from_a_request_id(shop: Serving) -> None:
    assert len({shop.batches.CreateBatch(wish()).seed for _ in range(3)}) == 3
    again = wish(request_id=str(uuid.uuid4()))
    seed = shop.batches.CreateBatch(again).seed
    BatchHand(shop.redis).finish(batch_id_of(again.request_id))
    shop.batches.DeleteBatch(DeleteBatchRequest(id=batch_id_of(again.request_id)))
    assert shop.batches.CreateBatch(again).seed == seed


def test_a_repeated_call_gets_the_batch_as_it_is_now(shop: Serving, hand: BatchHand) -> None:
    asked = wish(300, request_id=str(uuid.uuid4()), labels={"b": "1", "a": "2"})
    batch = shop.batches.CreateBatch(asked)
    hand.ledger.begin(batch.id)
    again = shop.batches.CreateBatch(asked)
    assert (again.id, again.state, again.seed) == (batch.id, Batch.STATE_RUNNING, batch.seed)
    assert len(hand.queued(batch.id)) == 2


def test_a_repeated_call_gets_its_batch_though_no_worker_is_left(valkey: Valkey) -> None:
    asked = wish(request_id="r", destination="/out/a")
    with serving_on(valkey, **OPEN, UNIKAT_WORKER_GRACE_S="0") as serving:
        batch = serving.batches.CreateBatch(asked)
    # Another service, which opens no destinations and knows of no worker.
    with serving_on(valkey, UNIKAT_WORKER_GRACE_S="0") as serving:
        serving.hand.bury()
        assert serving.batches.CreateBatch(asked) == batch


def test_a_request_id_cannot_be_used_for_something_else(shop: Serving) -> None:
    request_id = str(uuid.uuid4())
    shop.batches.CreateBatch(wish(10, request_id))
    error = refusal_of(shop.batches.CreateBatch, wish(11, request_id))
    assert isinstance(error, InvalidRequest)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, Reason.REQUEST_ID_REUSED)
    assert list(error.fields) == ["request_id"]


def test_a_folder_is_for_one_batch_until_that_is_deleted(shop: Serving, hand: BatchHand) -> None:
    first = shop.batches.CreateBatch(wish(destination="/out/one"))
    hand.finish(first.id)
    error = refusal_of(shop.batches.CreateBatch, wish(destination="file:///out/one/"))
    assert isinstance(error, InvalidRequest)
    assert (error.code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, Reason.DESTINATION_TAKEN)
    assert first.id in error.fields["destination"]
    shop.batches.DeleteBatch(DeleteBatchRequest(id=first.id))
    assert shop.batches.CreateBatch(wish(destination="/out/one")).id != first.id


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
    for n, delay in enumerate((0.02, 0.1, 0.2, 0.3, 0.5, 0.8)):
        asked = wish(500_000, f"r{n}", destination=f"/out/{n}", shard_size=250)
        batch = batch_id_of(asked.request_id)
        with serving_on(valkey, **OPEN) as serving:
            creating = BatchesStub(serving.channel).CreateBatch.future(asked, timeout=60)
            with suppress(grpc.FutureTimeoutError, grpc.RpcError):
                creating.result(timeout=delay)
            serving.program.kill()
            outcomes.append(is_whole(serving.redis, batch))
        if not outcomes[-1]:
            assert keys_of(serving.redis, batch) == set()
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
    assert batch in hand.ledger.active()
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


def test_a_cancelled_batch_drops_what_waits(shop: Serving, hand: BatchHand) -> None:
    batch = shop.batches.CreateBatch(wish(5000))
    hand.write(next(shard for shard in hand.shards(batch.id)))
    cancelled = shop.batches.CancelBatch(CancelBatchRequest(id=batch.id))
    assert (cancelled.state, cancelled.drawn_count) == (Batch.STATE_CANCELLED, 256)
    assert not cancelled.HasField("end_time")
    assert hand.queued(batch.id) == [f"b-{batch.id}-close-0"]
    assert shop.batches.CancelBatch(CancelBatchRequest(id=batch.id)) == cancelled
    hand.close(batch.id)
    ended = shop.batches.GetBatch(GetBatchRequest(id=batch.id))
    assert ended.HasField("end_time")
    assert ended.manifest == batch.destination + "/manifest.parquet"


def test_a_retry_draws_what_failed_and_only_that(shop: Serving, hand: BatchHand) -> None:
    batch = shop.batches.CreateBatch(wish(2000))
    hand.finish(batch.id, fail=(1, 7))
    failed = shop.batches.GetBatch(GetBatchRequest(id=batch.id))
    assert (failed.state, failed.failed_count) == (Batch.STATE_FAILED, 256 + 208)
    assert [(f.shard, f.first_index, f.count) for f in failed.failures] == [(1, 256, 256), (7, 1792, 208)]
    retried = shop.batches.RetryBatch(RetryBatchRequest(id=batch.id))
    assert (retried.state, retried.failed_count, retried.drawn_count) == (Batch.STATE_RUNNING, 0, 2000 - 464)
    assert [shard.shard for shard in hand.shards(batch.id)] == [1, 7]
    hand.finish(batch.id)
    assert shop.batches.GetBatch(GetBatchRequest(id=batch.id)).state == Batch.STATE_SUCCEEDED


def test_what_a_state_does_not_allow_is_a_failed_precondition_that_says_why(shop: Serving, hand: BatchHand) -> None:
    running, done = (shop.batches.CreateBatch(wish()).id for _ in range(2))
    hand.finish(done)
    for error, says in (
        (refusal_of(shop.batches.DeleteBatch, DeleteBatchRequest(id=running)), "cancel it"),
        (refusal_of(shop.batches.RetryBatch, RetryBatchRequest(id=running)), "not FAILED"),
        (refusal_of(shop.batches.RetryBatch, RetryBatchRequest(id=done)), "not FAILED"),
        (refusal_of(shop.batches.CancelBatch, CancelBatchRequest(id=done)), "ended already"),
    ):
        assert isinstance(error, WrongState)
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, Reason.BATCH_STATE)
        assert says in str(error)


@pytest.mark.parametrize("batch", ["", "0" * 16, "ü", "x" * 5000, "0:cells", "../x", "F" * 16])
def test_an_id_that_there_is_not_is_not_found(shop: Serving, hand: BatchHand, batch: str) -> None:
    real = hand.store.newest(1)[0][1] if hand.store.newest(1) else ""
    for unknown in (batch, f"{real}:cells", f"{real}:done"):
        for call, request in (
            (shop.batches.GetBatch, GetBatchRequest(id=unknown)),
            (shop.batches.CancelBatch, CancelBatchRequest(id=unknown)),
            (shop.batches.RetryBatch, RetryBatchRequest(id=unknown)),
            (shop.batches.DeleteBatch, DeleteBatchRequest(id=unknown)),
            (shop.batches.WatchBatch, WatchBatchRequest(id=unknown)),
        ):
            error = refusal_of(call, request)
            assert isinstance(error, NotFound)
            assert error.reason == Reason.BATCH_NOT_FOUND
            assert list(error.fields) == ["id"]


def test_a_deleted_batch_is_gone_without_a_trace(shop: Serving, hand: BatchHand) -> None:
    batch = shop.batches.CreateBatch(wish())
    hand.finish(batch.id)
    shop.batches.DeleteBatch(DeleteBatchRequest(id=batch.id))
    assert keys_of(shop.redis, batch.id) == set()
    assert code_of(shop.batches.GetBatch, GetBatchRequest(id=batch.id)) == grpc.StatusCode.NOT_FOUND


def test_bytes_that_are_no_request_are_an_invalid_argument(shop: Serving) -> None:
    for method in ("CreateBatch", "GetBatch", "ListBatches", "CancelBatch", "RetryBatch", "DeleteBatch", "WatchBatch"):
        send = shop.channel.unary_stream(f"/unikat.v1.Batches/{method}", bytes, bytes)
        error = refusal_of(send, b"\x0a\xff\xff")
        assert isinstance(error, InvalidRequest)
        assert list(error.fields) == ["request"]


def test_rqs_own_tools_see_how_many_shards_wait(shop: Serving) -> None:
    batch = shop.batches.CreateBatch(wish(2560))
    command = [str(Path(sys.executable).parent / "rq"), "info", "--raw", "--only-queues", "--url", shop.valkey.url]
    output = subprocess.check_output(command, text=True, timeout=60)
    assert f"queue unikat-batch-{batch.id} 10" in output


def test_a_caller_that_leaves_while_its_batch_is_made_does_no_harm(shop: Serving) -> None:
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
        served = 0
        while not all(call.done() for call in creating):
            begin = time.monotonic()
            call = serving.generate(GenerateRequest(model="tiny", count=1))
            assert next(call).HasField("accepted")
            assert time.monotonic() - begin < 2, "an interactive call waited for a batch to be made"
            serving.hand.take().complete()
            assert len(list(call)) == 2
            served += 1
        assert [call.result().shard_count for call in creating] == [3907] * 3
        assert served >= 3


def test_memory_stays_flat_over_batches_and_watches(valkey: Valkey) -> None:
    with serving_on(valkey, **OPEN) as serving:
        hand = BatchHand(serving.redis)

        def load() -> int:
            for _ in range(40):
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
        assert load() - warmed_up < 4 * 2**20
        assert "Traceback" not in serving.program.output
