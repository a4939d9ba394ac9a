"""From friendly arguments to a GenerateRequest."""

from __future__ import annotations

import operator
import secrets
import uuid
from collections.abc import Mapping
from numbers import Real
from typing import Final, SupportsIndex

from unikat.errors import InvalidRequest, bad_field
from unikat.sampling import MAX_SEED
from unikat.v1 import studio_pb2 as pb

# What to draw: attribute -> category, or attribute -> category -> weight for a blend.
Where = Mapping[str, str | Mapping[str, float]]

FORMATS: Final[dict[str, pb.ImageFormat]] = {
    "png": pb.IMAGE_FORMAT_PNG,
    "webp": pb.IMAGE_FORMAT_WEBP,
    "jpeg": pb.IMAGE_FORMAT_JPEG,
}
FORMAT_NAMES: Final[dict[int, str]] = {number: name for name, number in FORMATS.items()}
# Fits a double, so that a seed survives JSON and spreadsheets.
_PICKED_SEED_BITS: Final = 53
MAX_UINT32: Final = 2**32 - 1


def conditions_of(where: Where, field: str = "conditions") -> list[pb.Condition]:
    """`{"style": "noto", "category": {"animal": .7, "plant": .3}}` as messages, in the order given.

    Raises InvalidRequest for a value that is neither a category nor numbers by category; `field` is where the
    conditions stand in the request. What a model knows is checked by the service.
    """
    return [_condition(f"{field}[{i}]", name, value) for i, (name, value) in enumerate(where.items())]


def _condition(path: str, attribute: str, value: str | Mapping[str, float]) -> pb.Condition:
    if isinstance(attribute, str) and isinstance(value, str):
        return pb.Condition(attribute=attribute, category=value)
    if not (isinstance(attribute, str) and isinstance(value, Mapping) and all(isinstance(each, str) for each in value)):
        expected = f"{attribute} must be a category, or a mapping of categories to weights, not {value!r}"
        raise InvalidRequest(bad_field(path, expected))
    weights = {category: number(f"{path}.blend.weights[{category}]", weight) for category, weight in value.items()}
    return pb.Condition(attribute=attribute, blend=pb.Blend(weights=weights))


def generate_request(
    model: str,
    where: Where | None = None,
    *,
    count: SupportsIndex = 1,
    first_index: SupportsIndex = 0,
    seed: SupportsIndex | None = None,
    truncation: float | None = None,
    format: str = "png",
    background: str = "",
    request_id: str | None = None,
) -> pb.GenerateRequest:
    """A request that can be sent twice and mean the same: it always has a seed and a request_id.

    Raises InvalidRequest for what a message cannot hold; the service checks the rest.
    """
    request = pb.GenerateRequest(
        model=model, conditions=conditions_of(where or {}), count=whole("count", count),
        first_index=whole("first_index", first_index), seed=given_or_picked(seed), format=format_of(format),
        background=text("background", background),
        request_id=request_id if request_id is not None else str(uuid.uuid4()),
    )  # fmt: skip
    if truncation is not None:
        request.truncation = number("truncation", truncation)
    return request


def format_of(name: str) -> pb.ImageFormat:
    """The image format of this name. Raises InvalidRequest."""
    if name not in FORMATS:
        raise InvalidRequest(bad_field("format", f"must be one of {', '.join(FORMATS)}, not {name!r}"))
    return FORMATS[name]


def given_or_picked(seed: SupportsIndex | None) -> int:
    """The seed, or a random one for None. Raises InvalidRequest.

    Picked here and not by the service, so that a request sent again after everything was lost draws the same.
    """
    if seed is None:
        return secrets.randbits(_PICKED_SEED_BITS)
    return whole("seed", seed, MAX_SEED)


def whole(field: str, value: SupportsIndex, largest: int = MAX_UINT32) -> int:
    """A whole number from 0 to `largest`, NumPy's included. Raises InvalidRequest for all else, a bool too."""
    try:
        found = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = -1
    if not 0 <= found <= largest:
        raise InvalidRequest(bad_field(field, f"must be a whole number from 0 to {largest}, not {value!r}"))
    return found


def text(field: str, value: str) -> str:
    """Text. Raises InvalidRequest for all else."""
    if not isinstance(value, str):
        raise InvalidRequest(bad_field(field, f"must be text, not {value!r}"))
    return value


def number(field: str, value: float) -> float:
    """A real number, NumPy's included. Raises InvalidRequest for all else, a bool too."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidRequest(bad_field(field, f"must be a number, not {value!r}"))
    return float(value)
