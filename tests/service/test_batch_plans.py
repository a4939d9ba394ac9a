"""Any plan is either refused with the field that is wrong, or produces exactly its images."""

from __future__ import annotations

import math
import re
from collections.abc import MutableMapping
from typing import Any

import grpc
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.batch_hand import BatchHand
from tests.service.calls import error_from
from tests.service.conftest import serving_on
from tests.service.test_batch_requests import INK, STYLES, SUBJECTS, forget, request
from tests.support.tiny_model import tiny_model
from tests.support.valkey import running_valkey
from unikat.conditions import check_conditions
from unikat.errors import InvalidRequest
from unikat.v1.batches_pb2 import Axis, Batch, CreateBatchRequest, Grid, Plan
from unikat.v1.studio_pb2 import Blend, Condition

EXAMPLES, EXAMPLES_LONG = 250, 2000

# Any request, most of its parts right and some of them wrong.
attributes = st.sampled_from(["style", "style", "subject", "colour", "", "ü"])
categories = st.sampled_from(["ink", "oil", "chalk", "sea", "hill", "noto", ""])
weights = st.dictionaries(categories, st.floats(width=32) | st.sampled_from([1.0, 0.25]), max_size=3)
conditions = st.one_of(
    st.builds(lambda a, c: Condition(attribute=a, category=c), attributes, categories),
    st.builds(lambda c: Condition(attribute="style", category=c), st.sampled_from(["ink", "oil"])),
    st.builds(lambda a, w: Condition(attribute=a, blend=Blend(weights=w)), attributes, weights),
    st.builds(lambda a: Condition(attribute=a), attributes),
)
counts = st.one_of(st.integers(1, 600), st.integers(1, 600), st.sampled_from([0, 1, 50_000, 10**9, 2**32 - 1]))
axes = st.one_of(
    st.just(STYLES), st.just(SUBJECTS), st.just(Axis(attribute="style", categories=["oil", "ink"])),
    st.builds(lambda a, c: Axis(attribute=a, categories=c), attributes, st.lists(categories, max_size=3)),
)  # fmt: skip
wishes = st.one_of(
    st.builds(
        lambda p: {"plans": p},
        st.lists(
            st.builds(lambda c, n: Plan(conditions=c, count=n), st.lists(conditions, max_size=2), counts), max_size=4
        ),
    ),
    st.builds(
        lambda a, n, c: {"grid": Grid(axes=a, count=n, conditions=c)},
        st.lists(axes, max_size=3), counts, st.lists(conditions, max_size=1),
    ),
    st.just({"plans": [Plan(count=1)], "grid": Grid()}),
)  # fmt: skip
destinations = st.sampled_from(
    [
        "/out/x",
        "/out/x",
        "/out//x/",
        "file:///out/x",
        "s3://art/new/x",
        "/out/../x",
        "/etc",
        "",
        "x",
        "http://u@h/x",
        "/out/x\n",
    ]
)
others = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["tiny", "tiny@1", "tiny@2", "none", "", "@"]),
        "truncation": st.sampled_from([0.5, 2.0, -1.0, math.nan]),
        "format": st.sampled_from([0, 1, 2, 3, 4, -1]),
        "layout": st.sampled_from([0, 1, 2, 3]),
        "shard_size": st.sampled_from([0, 1, 7, 256, 4096, 4097, 2**32 - 1]),
        "owner": st.sampled_from(["", "anna", "anna@art", "a b", "ü"]),
        "labels": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        "request_id": st.sampled_from(["", "r", "a b"]),
        "seed": st.integers(0, 2**64 - 1),
    },
)
malformed = st.builds(
    lambda wish, to, more: request(**({"destination": to} | wish | more)), wishes, destinations, others
)
# Nothing is wrong with these.
INKY = Condition(attribute="style", blend=Blend(weights={"ink": 3, "chalk": 1}))
SEA = Condition(attribute="subject", category="sea")
right_wishes = st.one_of(
    st.builds(
        lambda p: {"plans": p},
        st.lists(
            st.builds(
                lambda c, n: Plan(conditions=c, count=n),
                st.sampled_from([[], [INK], [INKY], [SEA, INK]]), st.integers(1, 900),
            ),
            min_size=1, max_size=4,
        ),
    ),
    st.builds(
        lambda a, n: {"grid": Grid(axes=[a, SUBJECTS], count=n)},
        st.sampled_from([STYLES, Axis(attribute="style", categories=["oil", "ink"])]), st.integers(1, 800),
    ),
    st.builds(lambda n: {"grid": Grid(axes=[STYLES], count=n, conditions=[SEA])}, st.integers(1, 900)),
)  # fmt: skip
right = st.builds(lambda wish, size: request(shard_size=size, **wish), right_wishes, st.sampled_from([0, 7, 256]))
anything = st.one_of(malformed, malformed, malformed, right)


def exists(message: Message, path: str) -> bool:
    """Whether a field path leads to something in a message."""
    at: Any = message
    for name, key in re.findall(r"(\w+)(?:\[((?:.|\n)*?)\])?(?:\.|$)", path):
        if name not in at.DESCRIPTOR.fields_by_name:
            return False
        at = getattr(at, name)
        if isinstance(at, MutableMapping):
            return key in at or f"{name}[" not in path
        if key:
            if not int(key) < len(at):
                return False
            at = at[int(key)]
    return True


def expected_weights(wish: CreateBatchRequest) -> list[object]:
    """For each image, what was asked for: by nested loops, and not by the code under test."""
    model = tiny_model()
    if wish.plans:
        return [check_conditions(model, plan.conditions) for plan in wish.plans for _ in range(plan.count)]
    cells: list[list[Condition]] = [list(wish.grid.conditions)]
    for axis in wish.grid.axes:
        known = next([c.name for c in a.categories] for a in model.attributes if a.name == axis.attribute)
        cells = [
            [*cell, Condition(attribute=axis.attribute, category=category)]
            for cell in cells
            for category in axis.categories or known
        ]
    return [check_conditions(model, cell) for cell in cells for _ in range(wish.grid.count)]


def test_any_request_is_refused_by_field_or_produces_exactly_its_images(is_long: bool) -> None:
    examples = EXAMPLES_LONG if is_long else EXAMPLES
    outcomes = {"created": 0, "refused": 0}
    limits = {"UNIKAT_DESTINATIONS": "/out,s3://art", "UNIKAT_MAX_BATCH_IMAGES": "5000"}
    with running_valkey() as valkey, serving_on(valkey, **limits) as serving:
        hand = BatchHand(serving.redis)
        before = set(serving.redis.keys())

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(anything)
        def answered(wish: CreateBatchRequest) -> None:
            try:
                batch = serving.batches.CreateBatch(wish)
            except grpc.RpcError as caught:
                error = error_from(caught)
                assert isinstance(error, InvalidRequest)
                assert error.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
                assert error.fields
                assert [path for path in error.fields if not exists(wish, path)] == []
                outcomes["refused"] += 1
                return
            images(batch, wish)
            forget(serving, batch.id)
            outcomes["created"] += 1

        def images(batch: Batch, wish: CreateBatchRequest) -> None:
            shards = hand.shards(batch.id)
            asked = sum(plan.count for plan in wish.plans) or len(expected_weights(wish))
            assert sum(shard.count for shard in shards) == batch.total_count == asked
            assert sum(plan.count for plan in batch.plans) == asked
            indices = [i for shard in shards for i in range(shard.first, shard.first + shard.count)]
            assert indices == list(range(asked))
            assert [cell.weights for shard in shards for cell, _ in shard.places] == expected_weights(wish)

        answered()
        hand.take()  # which forgets owners without batches
        assert set(serving.redis.keys()) - before <= {b"rq:queues"}
        assert "Traceback" not in serving.program.output
    assert min(outcomes.values()) > examples // 20, outcomes
