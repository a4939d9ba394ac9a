"""What is wrong with a batch is said before anything is enqueued, and what is right is enqueued to the last image."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.service.batch_hand import BatchHand, keys_of
from tests.service.by_hand import described
from tests.service.calls import fields_of, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.support.processes import Program, eventually
from tests.support.tiny_model import tiny_model
from tests.support.valkey import running_valkey
from unikat.errors import NotFound, Reason
from unikat.v1.batches_pb2 import Axis, CreateBatchRequest, DeleteBatchRequest, Grid, Plan
from unikat.v1.model_pb2 import Attribute, Category
from unikat.v1.studio_pb2 import Blend, Condition, ListModelsRequest

INK = Condition(attribute="style", category="ink")
STYLES, SUBJECTS = Axis(attribute="style"), Axis(attribute="subject")


@pytest.fixture(scope="module")
def shop() -> Iterator[Serving]:
    """A service with two open destinations and a small limit."""
    with (
        running_valkey() as valkey,
        serving_on(valkey, UNIKAT_DESTINATIONS="/out,s3://art/new", UNIKAT_MAX_BATCH_IMAGES="50000") as serving,
    ):
        yield serving
        assert "Traceback" not in serving.program.output


def request(**fields: object) -> CreateBatchRequest:
    """A request in which only `fields` can be wrong."""
    right: dict[str, object] = {"model": "tiny", "destination": "/out/a"}
    if "grid" not in fields:
        right["plans"] = [Plan(count=1)]
    return CreateBatchRequest(**(right | fields))  # type: ignore[arg-type]  # that is the point


def grid(*axes: Axis, count: int = 1, conditions: tuple[Condition, ...] = ()) -> CreateBatchRequest:
    return request(grid=Grid(axes=axes, count=count, conditions=conditions))


def plans(*counts: int) -> CreateBatchRequest:
    return request(plans=[Plan(count=count) for count in counts])


@pytest.mark.parametrize(
    ("wrong", "field", "says"),
    [
        (request(model="Tiny"), "model", "name@version"),
        (request(plans=[]), "plans", "or a grid"),
        (request(plans=[Plan(count=1)], grid=Grid(axes=[STYLES], count=1)), "grid", "either plans or a grid"),
        (plans(1, 0), "plans[1].count", "at least 1"),
        (plans(50_001), "plans[0].count", "may have 50000"),
        (plans(2**32 - 1, 2**32 - 1), "plans", "8589934590 images"),
        (plans(*[1] * 10_001), "plans", "at most 10000"),
        (request(plans=[Plan(count=1), Plan(count=1, conditions=[Condition(attribute="x", category="y")])]),
         "plans[1].conditions[0].attribute", '"style", "subject"'),
        (request(plans=[Plan(count=1, conditions=[INK, INK])]), "plans[0].conditions[1].attribute", "twice"),
        (request(plans=[Plan(count=1, conditions=[Condition(attribute="style", blend=Blend(weights={"ink": -1}))])]),
         "plans[0].conditions[0].blend.weights[ink]", "at least 0"),
        (grid(), "grid.axes", "at least one"),
        (grid(STYLES, count=0), "grid.count", "at least 1"),
        (grid(Axis(attribute="colour")), "grid.axes[0].attribute", '"style", "subject"'),
        (grid(STYLES, STYLES), "grid.axes[1].attribute", "an axis already"),
        (grid(Axis(attribute="style", categories=["oil", "noto"])), "grid.axes[0].categories[1]", '"ink", "oil"'),
        (grid(Axis(attribute="style", categories=["oil", "oil"])), "grid.axes[0].categories[1]", "twice"),
        (grid(STYLES, conditions=(INK,)), "grid.conditions[0].attribute", "is an axis"),
        (grid(SUBJECTS, conditions=(Condition(attribute="style"),)), "grid.conditions[0]", "categories"),
        (grid(STYLES, SUBJECTS, count=2**32 - 1), "grid.count", "25769803770 images"),
        (request(truncation=math.nan), "truncation", "finite"),
        (request(truncation=2.5), "truncation", "0 to 2"),
        (request(format=17), "format", "IMAGE_FORMAT_WEBP"),
        (request(layout=17), "layout", "LAYOUT_WEBDATASET"),
        (request(shard_size=4097), "shard_size", "0 means 256"),
        (request(plans=[Plan(count=50_000)], shard_size=4), "shard_size", "at least 5"),
        (request(destination=""), "destination", "absolute path"),
        (request(destination="out"), "destination", "absolute path"),
        (request(destination="/out/../etc"), "destination", '".."'),
        (request(destination="/outside"), "destination", '"file:///out", "s3://art/new"'),
        (request(destination="s3://art/newer"), "destination", '"s3://art/new"'),
        (request(destination="/out/\0"), "destination", "control"),
        (request(owner="a b"), "owner", "1 to 128"),
        (request(owner="x" * 129), "owner", "at most 128"),
        (request(labels={"": "x"}), "labels[]", "1 to 63"),
        (request(labels={"k" * 64: "x"}), f"labels[{'k' * 64}]", "at most 63"),
        (request(labels={"k": "v" * 256}), "labels[k]", "255"),
        (request(labels={str(n): "" for n in range(65)}), "labels", "64"),
        (request(request_id="a b"), "request_id", "UUID"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_field_is_named_with_what_is_allowed(
    shop: Serving, wrong: CreateBatchRequest, field: str, says: str
) -> None:
    before = set(shop.redis.keys())
    fields = fields_of(shop.batches.CreateBatch, wrong)
    assert list(fields) == [field]
    assert says in fields[field]
    assert set(shop.redis.keys()) == before


def test_all_wrong_fields_are_named_at_once(shop: Serving) -> None:
    wrong = request(
        plans=[Plan(), Plan(count=1, conditions=[Condition(attribute="style", category="noto")])],
        destination="/etc", truncation=3, layout=9, owner="ü",
    )  # fmt: skip
    named = {"plans[0].count", "plans[1].conditions[0].category", "destination", "truncation", "layout", "owner"}
    assert set(fields_of(shop.batches.CreateBatch, wrong)) == named


def test_an_unknown_model_is_not_found_and_the_others_are_named(shop: Serving) -> None:
    error = refusal_of(shop.batches.CreateBatch, request(model="emoji"))
    assert isinstance(error, NotFound)
    assert error.reason == Reason.MODEL_NOT_FOUND
    assert '"tiny@1"' in error.fields["model"]
    assert list(fields_of(shop.batches.CreateBatch, request(model="emoji", destination="/etc"))) == ["destination"]


def test_a_service_whose_operator_opened_nothing_says_how_it_is_done(shared: Serving) -> None:
    fields = fields_of(shared.batches.CreateBatch, request())
    assert "UNIKAT_DESTINATIONS" in fields["destination"]


@pytest.mark.parametrize(
    ("count", "asked", "size"), [(50_000, 0, 256), (50_000, 16, 16), (50_000, 4096, 4096), (1, 0, 256)]
)
def test_shards_have_the_size_that_is_asked_for_or_the_services(
    shop: Serving, count: int, asked: int, size: int
) -> None:
    batch = shop.batches.CreateBatch(request(plans=[Plan(count=count)], shard_size=asked))
    assert (batch.shard_size, batch.shard_count) == (size, -(-count // size))
    forget(shop, batch.id)


def test_a_batch_too_large_for_the_services_shards_gets_larger_ones() -> None:
    limits = {"UNIKAT_DESTINATIONS": "/out", "UNIKAT_SHARD_SIZE": "2"}
    with running_valkey() as valkey, serving_on(valkey, **limits) as serving:
        batch = serving.batches.CreateBatch(plans(50_001))
        assert (batch.shard_size, batch.shard_count) == (6, 8334)


def test_prefixes_that_are_none_are_refused_at_the_start() -> None:
    with Program("unikat_service", "--destinations", "s3://user:secret@host/x") as program:
        assert program.wait() == 2
        assert "--destinations" in program.output


def test_a_grid_of_a_thousand_million_images_is_refused_at_once_and_in_no_memory(shop: Serving) -> None:
    process = psutil.Process(shop.program.process.pid)
    fields_of(shop.batches.CreateBatch, grid(STYLES, SUBJECTS, count=10**9))
    before, begin = process.memory_info().rss, time.monotonic()
    huge = "x" * 900_000
    for wrong in (
        grid(STYLES, SUBJECTS, count=10**9),
        plans(10**9),
        plans(*[4 * 10**9] * 10_000),
        plans(*[0] * 200_000),
        grid(*[Axis(attribute="style", categories=["ink"])] * 50_000),
        grid(Axis(attribute="style", categories=["ink"] * 150_000)),
        grid(*[Axis()] * 300_000, count=10**9),
        grid(STYLES, conditions=(INK,) * 50_000),
        request(plans=[Plan(count=1, conditions=[Condition()] * 200_000)]),
        request(labels={str(n): "" for n in range(50_000)}),
        request(destination="/" + huge),
        request(owner=huge),
        request(request_id=huge),
    ):
        assert fields_of(shop.batches.CreateBatch, wrong)
    assert time.monotonic() - begin < 20
    assert process.memory_info().rss - before < 64 * 2**20


def test_a_model_whose_combinations_are_too_many_is_refused_by_their_number(shop: Serving) -> None:
    wide = tiny_model("wide")
    del wide.attributes[:]
    for n in range(30):
        categories = [Category(name=f"{n}-{c}-" + "long" * 5, count=1) for c in range(10)]
        wide.attributes.append(Attribute(name=f"a{n}", categories=categories))
    shop.hand.announce(described(wide), described(tiny_model()))
    eventually(lambda: len(shop.stub.ListModels(ListModelsRequest()).models) == 2)

    def of(axes: int, rest: int = 0) -> CreateBatchRequest:
        common = [
            Condition(attribute=f"a{n}", blend=Blend(weights={c.name: 1 for c in wide.attributes[n].categories}))
            for n in range(axes, axes + rest)
        ]
        axis = [Axis(attribute=f"a{n}") for n in range(axes)]
        return request(model="wide", grid=Grid(axes=axis, count=1, conditions=common))

    for axes in (5, 9, 30):
        fields = fields_of(shop.batches.CreateBatch, of(axes))
        assert f"{10**axes} combinations" in fields["grid.axes"]
    assert "too large" in fields_of(shop.batches.CreateBatch, of(4, 26))["grid.axes"]
    batch = shop.batches.CreateBatch(of(4))
    assert batch.total_count == len(batch.plans) == 10_000
    forget(shop, batch.id)


def forget(serving: Serving, batch: str) -> None:
    """Cancel, end and delete a batch."""
    hand = BatchHand(serving.redis)
    hand.store.cancel(batch)
    hand.progress.end(batch, 0, "")
    serving.batches.DeleteBatch(DeleteBatchRequest(id=batch))
    assert keys_of(serving.redis, batch) == set()
