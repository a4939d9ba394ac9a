"""`--where`: conditions as they are typed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from unikat.cli.problems import BAD_INPUT, Problem, unknown

if TYPE_CHECKING:
    from unikat.request import Where
    from unikat.v1.model_pb2 import Model


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
        weights = _parse_value(option, value)
        where[attribute] = weights if len(weights) > 1 else next(iter(weights))
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
    if not math.fsum(weights.values()) > 0:
        raise _malformed(option, "the weights must sum to more than 0")
    return weights


def _parse_weight(option: str, text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise _malformed(option, f'a weight is a number of at least 0, not "{text}"')
    return weight


def _malformed(option: str, why: str) -> Problem:
    example = "Write --where style=noto or --where category=animal:0.7,plant:0.3."
    return Problem(f"--where {option}: {why}", example, code=BAD_INPUT)


def format_where(where: Where) -> list[str]:
    """The inverse of `parse_where`."""
    return [
        f"{name}={value}" if isinstance(value, str) else f"{name}={','.join(f'{c}:{w!r}' for c, w in value.items())}"
        for name, value in where.items()
    ]


def check_where(model: Model, where: Where) -> None:
    """Raise Problem, with the choices that there are, for an attribute or a category that `model` does not have."""
    schema = {attribute.name: [c.name for c in attribute.categories] for attribute in model.attributes}
    for name, value in where.items():
        if name not in schema:
            raise unknown(f"attribute of {model.name}", name, list(schema), "Attributes")
        for category in [value] if isinstance(value, str) else value:
            if category not in schema[name]:
                raise unknown(f"{name} of {model.name}", category, schema[name], f"Choices for {name}")


def describe(value: str | Mapping[str, float]) -> str:
    """A category, or a blend in per cent, for people."""
    if isinstance(value, str):
        return value
    total = math.fsum(value.values())
    return " + ".join(f"{category} {100 * weight / total:.0f}%" for category, weight in value.items())
