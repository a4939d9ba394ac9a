"""Batches are created once and whole, whoever asks how often and whatever is killed; and ended as callers say."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.service.batch_hand import BatchHand, keys_of
from tests.service.calls import code_of, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.support.valkey import Valkey, running_valkey
from unikat.errors import InvalidRequest, NotFound, Reason, WrongState
from unikat.queue.batches.keys import batch_id_of
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
from unikat.v1.studio_pb2 import Blend, Condition, ImageFormat

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
    hand.begin(batch.id)
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
    assert "deleted and its files are removed" in error.fields["destination"]
    shop.batches.DeleteBatch(DeleteBatchRequest(id=first.id))
    assert shop.batches.CreateBatch(wish(destination="/out/one")).id != first.id


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("one", "one/.unikat/two", "lies in"),
        ("one", "one/two", "lies in"),
        ("one/.unikat/two", "one", "has in it"),
        ("one/images", "one", "has in it"),
        ("one", "ones", ""),
        ("one/two", "one", ""),
    ],
)
def test_no_batch_writes_into_the_folder_of_another(shop: Serving, first: str, second: str, why: str) -> None:
    folder = f"/out/{uuid.uuid4()}"
    holder = shop.batches.CreateBatch(wish(destination=f"{folder}/{first}"))
    if not why:
        assert shop.batches.CreateBatch(wish(destination=f"{folder}/{second}")).id != holder.id
        return
    error = refusal_of(shop.batches.CreateBatch, wish(destination=f"{folder}/{second}"))
    assert isinstance(error, InvalidRequest)
    assert error.reason == Reason.DESTINATION_TAKEN
    assert error.fields["destination"].startswith(f"{why} the folder of batch {holder.id}; choose another")


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


@pytest.mark.parametrize("batch", ["", "0" * 16, "ü", "x" * 64, "0:cells", "../x", "F" * 16])
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
