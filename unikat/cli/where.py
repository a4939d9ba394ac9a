"""`--where`: conditions as they are typed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from unikat.cli.problems import BAD_INPUT, Problem, flag_of

if TYPE_CHECKING:
    from unikat.request import Where

_CONDITION: Final = re.compile(r"(?:grid\.|plans\[\d+\]\.)?conditions\[(\d+)\]")


def parse_where(options: Iterable[str]) -> Where:
    """`style=noto` and `category=animal:0.7,plant:0.3`, each attribute once; a weight left out is 1.

    Raises Problem, with what was typed and how it should look.
    """
    where: dict[str, str | Mapping[str, float]] = {}
    for option in options:
        attribute, equals, value = (part.strip() for part in option.partition("="))
        if not (attribute and equals and value):
            raise _malformed(option, "it needs an attribute and a category")
        if attribute in where:
            raise _malformed(option, f'"{attribute}" is named twice; a blend is written {attribute}=one:0.5,other:0.5')
        where[attribute] = _parse_value(option, value) if {",", ":"} & set(value) else value
    return where


def _parse_value(option: str, value: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in value.split(","):
        category, colon, number = (piece.strip() for piece in part.partition(":"))
        if not category:
            raise _malformed(option, "a category is empty")
        if category in weights:
            raise _malformed(option, f'"{category}" is named twice')
        weights[category] = _parse_weight(option, number) if colon else 1.0
    return weights


def _parse_weight(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _malformed(option, f'a weight is a number, not "{text}"') from error


def _malformed(option: str, why: str) -> Problem:
    example = "Write --where style=noto or --where category=animal:0.7,plant:0.3."
    return Problem(f"--where {option}: {why}", example, code=BAD_INPUT)


def format_where(where: Where) -> list[str]:
    """The inverse of `parse_where`."""
    return [
        f"{name}={value}" if isinstance(value, str) else f"{name}={','.join(f'{c}:{w!r}' for c, w in value.items())}"
        for name, value in where.items()
    ]


def typed_flag(where: Where, field: str) -> str:
    """As `flag_of`, with what was typed: "conditions[0].category" to "--where style=noto"."""
    found = _CONDITION.match(field)
    typed = format_where(where)
    return f"--where {typed[int(found[1])]}" if found and int(found[1]) < len(typed) else flag_of(field)


def describe(value: str | Mapping[str, float]) -> str:
    """A category, or a blend in per cent, for people."""
    if isinstance(value, str):
        return value
    total = math.fsum(value.values())
    return " + ".join(f"{category} {100 * weight / total:.0f}%" for category, weight in value.items())
