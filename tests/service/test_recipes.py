"""Recipes and walks that are wrong, each refused with its field and what is allowed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from tests.support.tiny_model import LATENT, tiny_model
from unikat.conditions import FieldError
from unikat.v1.model_pb2 import Direction
from unikat.v1.studio_pb2 import GenerateRequest
from unikat_service.recipes import check_recipe, check_walk, sequence_problems

MODEL = tiny_model()
MODEL.directions.extend([Direction(name="1"), Direction(name="smile")])
COMPLETE = {"style": {"ink": 1.0}, "subject": {"sea": 1.0}}
FIELDS = ("first_index", "count", "recipe", "conditions")


def point(seed: int = 7, index: int = 0, weight: float = 1.0) -> dict[str, Any]:
    return {"point": {"seed": str(seed), "index": index}, "weight": weight}


def vector(*values: float) -> dict[str, Any]:
    return {"points": [{"vector": {"values": values}, "weight": 1}]}


def walk(*keyframes: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"walk": {"keyframes": keyframes or [{"points": [point()]}, {"points": [point(9)]}], "frames": 8} | more}


def problems(said: dict[str, Any], **weights: Any) -> dict[str, str]:  # noqa: ANN401  # weights
    """Field to message, as a service without a request_id finds them."""
    request = ParseDict({"count": 1} | said, GenerateRequest())
    try:
        if request.HasField("walk"):
            sequence: Any = check_walk(request.walk, MODEL, "walk")
        else:
            sequence = check_recipe(request.recipe, MODEL, "recipe", 5)
    except FieldError as problem:
        return {problem.field: problem.message}
    indexes = range(request.first_index, request.first_index + request.count)
    return {each.field: each.message for each in sequence_problems(sequence, weights, MODEL, indexes, FIELDS)}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"recipe": {}}, "recipe.points", "1 to 64"),
    ({"recipe": {"points": [{"weight": 1}]}}, "recipe.points[0]", "a point (seed and index) or a vector"),
    ({"recipe": {"points": [point() | {"weight": "NaN"}]}}, "recipe.points[0].weight", "1000000"),
    ({"recipe": {"points": [point(), point(weight=-1)]}}, "recipe.points", "cancel out"),
    ({"recipe": vector(*[0.5] * 3)}, "recipe.points[0].vector.values", f"must have {LATENT} numbers"),
    ({"recipe": vector(*[0.5] * 7, 2000)}, "recipe.points[0].vector.values", "number 7 must be from -1000 to 1000"),
    ({"recipe": vector(*[0.5] * LATENT)}, "conditions", '"style", "subject", too'),
    (
        {"recipe": {"points": [point()], "shifts": [{"direction": "smil", "strength": 1}]}},
        "recipe.shifts[0].direction",
        'did you mean "smile"? Choose from "1", "smile"',
    ),
    (
        {"recipe": {"points": [point()], "shifts": [{"direction": "1", "strength": 70}] * 2}},
        "recipe.shifts",
        "-100 to 100",
    ),
    ({"recipe": {"points": [point()], "mutation": {"radius": -0.1}}}, "recipe.mutation.radius", "0 (the parent) to 1"),
    (
        {"recipe": {"points": [point(weight=-1)], "mutation": {"radius": 0.5**0.5, "seed": "7"}}},
        "recipe.mutation",
        "image 0",
    ),
    (
        {"recipe": {"points": [point(index=i) for i in range(64)], "mutation": {"radius": 0.1}}},
        "recipe.points",
        "at most 63 with a mutation",
    ),
    ({"recipe": {"points": [point()]}, "count": 2}, "count", "must be 1, not 2"),
    ({"recipe": {"points": [point()]}, "firstIndex": 2}, "first_index", "must be 0, not 2"),
    (walk({"points": [point()]}), "walk.keyframes", "2 to 64"),
    (walk(frames=1), "walk.frames", "2 to 1000000"),
    (walk(easing=7), "walk.easing", "EASING_SMOOTH"),
    (walk({"points": [point()]}, {}), "walk.keyframes[1].points", "1 to 64"),
    (
        walk({"points": [point()]}, {"points": [point(9)], "mutation": {"radius": 0.5}}),
        "walk.keyframes[1].mutation",
        "left out",
    ),
    (walk({"points": [point()]}, {"points": [point(weight=-2)]}), "walk.keyframes[1]", "opposite"),
    (
        walk({"points": [point(1, i) for i in range(40)]}, {"points": [point(2, i) for i in range(40)]}),
        "walk.keyframes[1]",
        "80 base points",
    ),
    (
        walk({"points": [point()]}, {"points": [point(9)]}, {"points": [point(weight=-2)]}, loop=True),
        "walk.keyframes[0]",
        "opposite",
    ),
    (walk() | {"firstIndex": 7, "count": 2}, "count", "8 frames"),
]


@pytest.mark.parametrize(("said", "field", "why"), WRONG, ids=[field for _, field, _ in WRONG])
def test_what_is_wrong_is_named(said: dict[str, Any], field: str, why: str) -> None:
    found = problems(said)
    assert list(found) == [field]
    assert why in found[field]


def test_a_count_costs_nothing_before_it_is_refused() -> None:
    """As of a plan, whose limit is checked with all that is wrong."""
    began = time.process_time()
    mutated = {"recipe": {"points": [point(5, 3)], "mutation": {"radius": 0.3, "seed": "5"}}, "count": 2**32 - 1}
    assert problems(mutated) == {}
    assert time.process_time() - began < 1


def test_what_is_right_is_taken() -> None:
    assert problems({"recipe": vector(*[0.5] * LATENT)}, **COMPLETE) == {}
    assert problems({"recipe": {"points": [point()], "mutation": {"radius": 0.3}}, "count": 9, "firstIndex": 4}) == {}
    assert problems(walk(loop=True, easing="EASING_SMOOTH") | {"count": 8}) == {}
    mutated = check_recipe(
        ParseDict({"points": [point()], "mutation": {"radius": 0.3}}, GenerateRequest().recipe), MODEL, "recipe", 5
    )
    assert (mutated.radius, mutated.seed) == (0.3, 5)
