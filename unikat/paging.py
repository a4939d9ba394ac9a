"""Pages of a sorted list (AIP-158): a token says behind which entry the next page begins, so it survives changes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from unikat.conditions import FieldError
from unikat.statuses import invalid

DEFAULT_SIZE: Final = 50
MAX_SIZE: Final = 1000

P = TypeVar("P")


def check_page(page_size: int, page_token: str, read: Callable[[str], P]) -> tuple[int, P | None]:
    """Size of the page and where it begins; `read` makes a position of a token, or says by FieldError what is wrong.

    Raises UnikatError (INVALID_ARGUMENT) for a negative size or a token that is not ours.
    """
    problems = []
    if page_size < 0:
        problems.append(FieldError("page_size", f"must be at least 0 (0 means {DEFAULT_SIZE}), not {page_size}"))
    after = None
    try:
        after = read(page_token) if page_token else None
    except FieldError as problem:
        problems.append(problem)
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError):  # brackets in brackets
        problems.append(FieldError("page_token", "must be the next_page_token of an earlier response, or empty"))
    if problems:
        raise invalid(problems)
    return min(page_size or DEFAULT_SIZE, MAX_SIZE), after


def encode(kind: str, *position: Any) -> str:  # noqa: ANN401  # JSON values
    """A token of a list of some kind."""
    return base64.urlsafe_b64encode(json.dumps([kind, *position]).encode()).decode()


def decode(kind: str, token: str) -> list[Any]:
    """The inverse of `encode`. Raises what `check_page` knows for what is no such token."""
    position: list[Any]
    found, *position = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    if found != kind:
        raise ValueError(f"a token of {found}, not of {kind}")
    return position
