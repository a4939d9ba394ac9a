"""From friendly arguments to a request."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unikat.errors import InvalidRequest
from unikat.request import generate_request
from unikat.v1.studio_pb2 import IMAGE_FORMAT_PNG, IMAGE_FORMAT_WEBP


def test_categories_and_blends_become_conditions_in_the_order_given() -> None:
    request = generate_request("emoji", {"style": "noto", "category": {"animal": 0.75, "plant": 0.25}}, count=3, seed=7)
    assert [c.attribute for c in request.conditions] == ["style", "category"]
    assert request.conditions[0].category == "noto"
    assert dict(request.conditions[1].blend.weights) == {"animal": 0.75, "plant": 0.25}
    assert (request.count, request.seed, request.format) == (3, 7, IMAGE_FORMAT_PNG)


def test_every_request_has_a_seed_and_an_id_so_that_it_can_be_sent_again() -> None:
    first, second = generate_request("emoji"), generate_request("emoji")
    assert first.HasField("seed")
    assert second.HasField("seed")
    assert first.seed != second.seed
    assert first.request_id
    assert first.request_id != second.request_id


def test_what_the_caller_gave_is_kept() -> None:
    request = generate_request("emoji@2", seed=2**64 - 1, truncation=0.5, format="webp", request_id="mine")
    assert (request.seed, request.truncation, request.request_id) == (2**64 - 1, 0.5, "mine")
    assert request.format == IMAGE_FORMAT_WEBP
    assert not generate_request("emoji").HasField("truncation")


def test_numbers_of_numpy_are_numbers() -> None:
    given: dict[str, Any] = {"where": {"style": {"noto": np.float32(0.25), "twemoji": np.int64(1)}}}
    given |= {
        "count": np.int32(3),
        "first_index": np.int64(5),
        "seed": np.uint64(2**64 - 1),
        "truncation": np.float32(0.5),
    }
    plain: dict[str, Any] = {"where": {"style": {"noto": 0.25, "twemoji": 1.0}}}
    plain |= {"count": 3, "first_index": 5, "seed": 2**64 - 1, "truncation": 0.5}
    request = generate_request("emoji", request_id="mine", **given)
    same = generate_request("emoji", request_id="mine", **plain)
    assert request == same


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("count", {"count": -1}),
        ("count", {"count": 2**32}),
        ("count", {"count": 1.5}),
        ("first_index", {"first_index": -1}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**64}),
        ("format", {"format": "gif"}),
        ("conditions[0]", {"where": {"style": 3}}),
        ("conditions[0]", {"where": {"style": {3: 0.5}}}),
        ("conditions[1].blend.weights[animal]", {"where": {"style": "noto", "category": {"animal": "much"}}}),
        ("conditions[0].blend.weights[noto]", {"where": {"style": {"noto": True}}}),
        ("conditions[0].blend.weights[noto]", {"where": {"style": {"noto": np.True_}}}),
        ("count", {"count": True}),
        ("count", {"count": np.True_}),
        ("count", {"count": np.float64(3)}),
        ("count", {"count": "3"}),
        ("first_index", {"first_index": False}),
        ("seed", {"seed": True}),
        ("seed", {"seed": np.int64(-1)}),
        ("truncation", {"truncation": True}),
        ("truncation", {"truncation": "0.5"}),
    ],
)
def test_what_a_message_cannot_hold_is_refused_by_its_field(field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        generate_request("emoji", **arguments)
    assert list(refused.value.fields) == [field]
