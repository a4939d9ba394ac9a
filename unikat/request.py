"""From friendly arguments to a GenerateRequest."""

from __future__ import annotations

import math
import operator
import secrets
import uuid
from collections.abc import Mapping
from numbers import Real
from typing import Final, SupportsIndex

import numpy as np

from unikat.errors import InvalidRequest, bad_field
from unikat.recipes.messages import set_sequence
from unikat.recipes.mix import Mix
from unikat.recipes.sequence import MixSequence, Mutations, Walk
from unikat.recipes.text import parse_mix
from unikat.refusal import ORIGINALITY
from unikat.sampling import MAX_SEED
from unikat.v1 import studio_pb2 as pb

# What to draw: attribute -> category, or attribute -> category -> weight for a blend.
Where = Mapping[str, str | Mapping[str, float]]

# A latent: a line such as "7:3*0.8,9:0*0.6" (`unikat.recipes.text`), a mix, or one with a mutation.
RecipeLike = str | Mix | Mutations

FORMATS: Final[dict[str, pb.ImageFormat]] = {
    "png": pb.IMAGE_FORMAT_PNG,
    "webp": pb.IMAGE_FORMAT_WEBP,
    "jpeg": pb.IMAGE_FORMAT_JPEG,
}
CREDENTIALS: Final[dict[str, pb.Credentials]] = {
    "none": pb.CREDENTIALS_UNSPECIFIED,  # so that a request without is what it always was
    "sidecar": pb.CREDENTIALS_SIDECAR,
    "embedded": pb.CREDENTIALS_EMBEDDED,
}
FORMAT_NAMES: Final[dict[int, str]] = {number: name for name, number in FORMATS.items()}
# Fits a double, so that a seed survives JSON and spreadsheets.
_PICKED_SEED_BITS: Final = 53
MAX_UINT32: Final = 2**32 - 1
_SCALES: Final = 4096
_MOST_OFF: Final = 2**-21


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
    count: SupportsIndex | None = None,
    first_index: SupportsIndex = 0,
    seed: SupportsIndex | None = None,
    recipe: RecipeLike | None = None,
    walk: Walk | None = None,
    truncation: float | None = None,
    format: str = "png",
    background: str = "",
    credentials: str = "none",
    originality: str | None = None,
    attempt: SupportsIndex = 0,
    request_id: str | None = None,
) -> pb.GenerateRequest:
    """A request that can be sent twice and mean the same: it always has a seed, a recipe or a walk, and a request_id.

    `count` None is 1, or what is left of a walk. Raises InvalidRequest for what a message cannot hold; the service
    checks the rest.
    """
    request = pb.GenerateRequest(
        model=model, conditions=conditions_of(where or {}), first_index=whole("first_index", first_index),
        format=format_of(format),
        background=text("background", background), credentials=credentials_of(credentials),
        originality=originality_of(originality), attempt=whole("attempt", attempt),
        request_id=request_id if request_id is not None else str(uuid.uuid4()),
    )  # fmt: skip
    request.count = whole("count", _left_of(walk, request.first_index) if count is None else count)
    if truncation is not None:
        request.truncation = number("truncation", truncation)
    set_sequence(request, sequence_of(recipe, walk))
    if seed is not None or (recipe is None and walk is None):
        request.seed = given_or_picked(seed)
    return request


def _left_of(walk: Walk | None, first: int) -> int:
    return 1 if walk is None else max(0, walk.frames - first)


def sequence_of(recipe: RecipeLike | None, walk: Walk | None, prefix: str = "") -> MixSequence | None:
    """What is to be drawn in place of a seed; `prefix` is before the names of the fields.

    Raises InvalidRequest for both, and for a text that is no recipe.
    """
    if recipe is not None and walk is not None:
        raise InvalidRequest(bad_field(f"{prefix}walk", "must be left out where there is a recipe"))
    if not isinstance(recipe, str):
        return Mutations(recipe) if isinstance(recipe, Mix) else recipe or walk
    try:
        return Mutations(parse_mix(recipe))
    except ValueError as error:
        raise InvalidRequest(bad_field(f"{prefix}recipe", str(error))) from error


def format_of(name: str) -> pb.ImageFormat:
    """The image format of this name. Raises InvalidRequest."""
    if name not in FORMATS:
        raise InvalidRequest(bad_field("format", f"must be one of {', '.join(FORMATS)}, not {name!r}"))
    return FORMATS[name]


def credentials_of(name: str) -> pb.Credentials:
    """Where credentials of this name are. Raises InvalidRequest."""
    if name not in CREDENTIALS:
        raise InvalidRequest(bad_field("credentials", f"must be one of {', '.join(CREDENTIALS)}, not {name!r}"))
    return CREDENTIALS[name]


def originality_of(name: str | None) -> pb.OriginalityMode:
    """The mode of this name; None for what the service does. Raises InvalidRequest."""
    if name is None:
        return pb.ORIGINALITY_MODE_UNSPECIFIED
    if name not in ORIGINALITY:
        raise InvalidRequest(bad_field("originality", f"must be one of {', '.join(ORIGINALITY)}, not {name!r}"))
    return ORIGINALITY[name]


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


def sent_where(where: Where) -> Where:
    """Conditions of an artwork such that the service comes to these again: blends by `as_sent`."""
    return {name: of if isinstance(of, str) else as_sent(of) for name, of in where.items()}


def as_sent(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights of a blend such that the service, which divides them by their sum, comes to these again.

    A request holds float32, whose sum is not always exactly 1: dividing by it can change the last bit of a weight.
    Weights of which no scale comes back are returned as they are: those that do not sum to 1, for example.
    """
    shares = np.array(list(weights.values()), dtype=np.float64)
    # A weight is rounded three times on its way back: a sum that is off by more than that is off at every scale.
    if not (all(0 <= share <= 2 for share in shares) and abs(math.fsum(shares) - 1) < _MOST_OFF):
        return dict(weights)
    wanted = shares.astype(np.float32)
    for scale in range(1, _SCALES, 2):  # twice a scale has the same bits
        sent = (shares * scale).astype(np.float32).astype(np.float64)
        if np.array_equal((sent / math.fsum(sent)).astype(np.float32), wanted):
            return dict(zip(weights, sent.tolist(), strict=True))
    return dict(weights)
