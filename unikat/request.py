"""From friendly arguments to a GenerateRequest."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from typing import Final

from unikat.errors import InvalidRequest, bad_field
from unikat.v1.studio_pb2 import (
    IMAGE_FORMAT_JPEG,
    IMAGE_FORMAT_PNG,
    IMAGE_FORMAT_WEBP,
    Blend,
    Condition,
    GenerateRequest,
    ImageFormat,
)

# What to draw: attribute -> category, or attribute -> category -> weight for a blend.
Where = Mapping[str, str | Mapping[str, float]]

FORMATS: Final[dict[str, ImageFormat]] = {
    "png": IMAGE_FORMAT_PNG,
    "webp": IMAGE_FORMAT_WEBP,
    "jpeg": IMAGE_FORMAT_JPEG,
}
MAX_SEED: Final = 2**64 - 1
# Fits a double, so that a seed survives JSON and spreadsheets.
_PICKED_SEED_BITS: Final = 53
MAX_UINT32: Final = 2**32 - 1


def conditions_of(where: Where, field: str = "conditions") -> list[Condition]:
    """`{"style": "noto", "category": {"animal": .7, "plant": .3}}` as messages, in the order given.

    Raises InvalidRequest for a value that is neither a category nor numbers by category; `field` is where the
    conditions stand in the request. What a model knows is checked by the service.
    """
    return [_condition(f"{field}[{i}]", name, value) for i, (name, value) in enumerate(where.items())]


def _condition(path: str, attribute: str, value: str | Mapping[str, float]) -> Condition:
    if isinstance(value, str):
        return Condition(attribute=attribute, category=value)
    try:
        return Condition(attribute=attribute, blend=Blend(weights=dict(value)))
    except (TypeError, ValueError) as error:
        expected = f"{attribute} must be a category, or a mapping of categories to weights, not {value!r}"
        raise InvalidRequest(bad_field(path, expected)) from error


def generate_request(
    model: str,
    where: Where | None = None,
    *,
    count: int = 1,
    first_index: int = 0,
    seed: int | None = None,
    truncation: float | None = None,
    format: str = "png",
    request_id: str | None = None,
) -> GenerateRequest:
    """A request that can be sent twice and mean the same: it always has a seed and a request_id.

    Raises InvalidRequest for what a message cannot hold; the service checks the rest.
    """
    check_whole("count", count, MAX_UINT32)
    check_whole("first_index", first_index, MAX_UINT32)
    request = GenerateRequest(
        model=model, conditions=conditions_of(where or {}), count=count, first_index=first_index,
        seed=given_or_picked(seed), format=format_of(format),
        request_id=request_id if request_id is not None else str(uuid.uuid4()),
    )  # fmt: skip
    if truncation is not None:
        request.truncation = truncation
    return request


def format_of(name: str) -> ImageFormat:
    """The image format of this name. Raises InvalidRequest."""
    if name not in FORMATS:
        raise InvalidRequest(bad_field("format", f"must be one of {', '.join(FORMATS)}, not {name!r}"))
    return FORMATS[name]


def given_or_picked(seed: int | None) -> int:
    """The seed, or a random one for None. Raises InvalidRequest.

    Picked here and not by the service, so that a request sent again after everything was lost draws the same.
    """
    if seed is None:
        return secrets.randbits(_PICKED_SEED_BITS)
    check_whole("seed", seed, MAX_SEED)
    return seed


def check_whole(field: str, value: int, largest: int) -> None:
    """Raise InvalidRequest unless `value` is a whole number from 0 to `largest`."""
    if not (isinstance(value, int) and 0 <= value <= largest):
        raise InvalidRequest(bad_field(field, f"must be a whole number from 0 to {largest}, not {value!r}"))
