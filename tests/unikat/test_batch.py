"""From friendly arguments to a CreateBatch request, and from messages to a Batch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from unikat.batch import Batch, BatchState, Plan, Wish, create_request, list_request
from unikat.errors import InvalidRequest
from unikat.v1 import batches_pb2 as pb
from unikat.v1.studio_pb2 import IMAGE_FORMAT_PNG, IMAGE_FORMAT_WEBP, Condition


def request_of(wish: Wish | None = None, to: str | Path = "/out", **options: Any) -> pb.CreateBatchRequest:  # noqa: ANN401
    return create_request("tiny", wish or Wish(), to, **options)


def test_a_grid_keeps_the_order_of_its_axes_and_a_star_means_all() -> None:
    wish = Wish(grid={"style": "*", "subject": ["sea", "hill"]}, where={"mood": {"calm": 1, "wild": 3}}, count=5)
    grid = request_of(wish).grid
    assert [(axis.attribute, list(axis.categories)) for axis in grid.axes] == [
        ("style", []),
        ("subject", ["sea", "hill"]),
    ]
    assert (grid.count, dict(grid.conditions[0].blend.weights)) == (5, {"calm": 1, "wild": 3})


def test_plans_follow_one_another_and_share_what_all_have_in_common() -> None:
    plans = [Plan({"style": "ink"}, 3), Plan({}, 1)]
    request = request_of(Wish(plans=plans, where={"subject": "sea"}))
    assert [plan.count for plan in request.plans] == [3, 1]
    assert [[c.attribute for c in plan.conditions] for plan in request.plans] == [["subject", "style"], ["subject"]]


def test_without_plans_and_grid_it_is_one_plan() -> None:
    assert list(request_of(Wish(count=7)).plans) == [pb.Plan(count=7)]
    assert list(request_of(Wish(where={"style": "ink"})).plans) == [
        pb.Plan(count=1, conditions=[Condition(attribute="style", category="ink")])
    ]


def test_plans_and_a_grid_are_both_sent_for_the_service_to_refuse() -> None:
    request = request_of(Wish(plans=[Plan({}, 1)], grid={"style": "*"}, count=1))
    assert request.plans
    assert request.HasField("grid")


def test_numbers_of_numpy_are_numbers() -> None:
    wish = Wish(plans=[Plan({"style": "ink"}, np.int64(3))])  # type: ignore[arg-type]  # what NumPy's types say
    request = request_of(wish, seed=np.uint64(7), shard_size=np.int32(16), truncation=np.float32(0.5))
    assert (request.plans[0].count, request.seed, request.shard_size, request.truncation) == (3, 7, 16, 0.5)


def test_every_request_has_a_seed_and_an_id_so_that_it_can_be_sent_again() -> None:
    first, second = request_of(), request_of()
    assert first.HasField("seed")
    assert first.request_id
    assert (first.seed, first.request_id) != (second.seed, second.request_id)


def test_what_the_caller_gave_is_kept() -> None:
    request = request_of(
        to=Path("/data/out"), seed=7, truncation=0.5, format="webp", layout="webdataset", owner="ada",
        labels={"job": "12"}, shard_size=64, request_id="mine",
    )  # fmt: skip
    assert (request.destination, request.seed, request.truncation, request.owner) == ("/data/out", 7, 0.5, "ada")
    assert (request.format, request.layout) == (IMAGE_FORMAT_WEBP, pb.LAYOUT_WEBDATASET)
    assert (dict(request.labels), request.shard_size, request.request_id) == ({"job": "12"}, 64, "mine")


@pytest.mark.parametrize(
    ("field", "wish", "options"),
    [
        ("count", Wish(plans=[Plan({}, 1)], count=3), {}),
        ("count", Wish(count=-1), {}),
        ("count", Wish(grid={"style": "*"}, count=2**32), {}),
        ("grid", Wish(grid={"style": []}), {}),
        ("plans[1].count", Wish(plans=[Plan({}, 1), Plan({}, -1)]), {}),
        ("plans[0]", Wish(plans=[Plan({"style": "ink"}, 1)], where={"style": "oil"}), {}),
        ("plans[0].conditions[0]", Wish(plans=[Plan({"style": 3}, 1)]), {}),  # type: ignore[dict-item]  # on purpose
        ("layout", Wish(), {"layout": "zip"}),
        ("format", Wish(), {"format": "gif"}),
        ("seed", Wish(), {"seed": 2**64}),
        ("shard_size", Wish(), {"shard_size": -1}),
        ("shard_size", Wish(), {"shard_size": True}),
        ("count", Wish(count=True), {}),
        ("plans[0].count", Wish(plans=[Plan({}, True)]), {}),
        ("labels", Wish(), {"labels": {"job": 12}}),
    ],
)
def test_what_a_message_cannot_hold_is_refused_by_its_field(field: str, wish: Wish, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        request_of(wish, **options)
    assert list(refused.value.fields) == [field]


def test_states_are_names_and_others_are_refused() -> None:
    assert list(list_request([BatchState.FAILED, "RUNNING"], "ada").states) == [
        pb.Batch.STATE_FAILED,
        pb.Batch.STATE_RUNNING,
    ]
    with pytest.raises(ValueError, match=r"states: must be of QUEUED, RUNNING, .*, not 'BROKEN'"):
        list_request(["BROKEN"], "")


def test_a_message_becomes_a_batch() -> None:
    message = pb.Batch(
        id="b1", state=pb.Batch.STATE_RUNNING, model="tiny@1", format=IMAGE_FORMAT_PNG, layout=pb.LAYOUT_WEBDATASET,
        plans=[pb.Plan(count=3, conditions=[Condition(attribute="style", category="ink")])],
        total_count=3, drawn_count=1, failed_count=1, images_per_second=2.5, remaining=Duration(seconds=4),
        pause=pb.Pause(reason="disk full", since=Timestamp(seconds=60)),
        failures=[pb.ShardFailure(shard=1, first_index=2, count=1, message="no")],
        create_time=Timestamp(seconds=30), revision=9,
    )  # fmt: skip
    batch = Batch.of(message)
    assert batch.state is BatchState.RUNNING
    assert batch.plans == (Plan({"style": "ink"}, 3),)
    assert (batch.total, batch.drawn, batch.failed, batch.remaining) == (3, 1, 1, 4.0)
    assert (batch.format, batch.layout) == ("png", "webdataset")
    assert batch.pause is not None
    assert batch.pause.since == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert batch.failures[0].first_index == 2
    assert batch.created == datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert (batch.started, batch.ended, batch.manifest) == (None, None, None)
