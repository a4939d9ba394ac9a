"""Pages of a sorted list (AIP-158): a token says behind which entry the next page begins, so it survives changes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Final

from service.errors import invalid
from unikat.bundle import key_of
from unikat.conditions import FieldError
from unikat.v1.model_pb2 import Model

DEFAULT_SIZE: Final = 50
MAX_SIZE: Final = 1000

# Names ascend, the versions of a name descend.
Position = tuple[str, int]


def position_of(model: Model) -> Position:
    """Sort key: by name, newest version first."""
    return model.name, -model.version


def check_page(page_size: int, page_token: str) -> tuple[int, Position | None]:
    """Size of the page and where it begins.

    Raises UnikatError (INVALID_ARGUMENT) for a negative size or a token that is not ours.
    """
    problems = []
    if page_size < 0:
        problems.append(FieldError("page_size", f"must be at least 0 (0 means {DEFAULT_SIZE}), not {page_size}"))
    after = None
    try:
        after = _decode(page_token) if page_token else None
    except FieldError as problem:
        problems.append(problem)
    if problems:
        raise invalid(problems)
    return min(page_size or DEFAULT_SIZE, MAX_SIZE), after


def page_of(models: Sequence[Model], size: int, after: Position | None) -> tuple[Sequence[Model], str]:
    """The page of `models`, which are sorted by `position_of`, behind `after`; and the token of the next page."""
    rest = [model for model in models if after is None or position_of(model) > after]
    page = rest[:size]
    return page, _encode(page[-1]) if len(rest) > size else ""


def _encode(last: Model) -> str:
    return base64.urlsafe_b64encode(json.dumps(["models", key_of(last)]).encode()).decode()


def _decode(token: str) -> Position:
    try:
        kind, key = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
        name, version = key.split("@")
        if kind != "models":
            raise ValueError(kind)
        return name, -int(version)
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError) as error:  # brackets in brackets
        raise FieldError("page_token", "must be the next_page_token of an earlier response, or empty") from error
