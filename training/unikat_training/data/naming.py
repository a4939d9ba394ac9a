"""Names that can be typed into a request: folders and columns are called what people like, models are stricter."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unikat.bundle import ATTRIBUTE_NAME, UNTYPABLE
from unikat_training.data.fields import DatasetError

Items = list[tuple[str, tuple[str, ...]]]  # files, each with one category an attribute


def typable(attributes: Sequence[str], items: Items) -> tuple[tuple[str, ...], Items, list[str]]:
    """`attributes` and `items` under names that a model bundle takes, and a warning for each name that changed.

    Raises DatasetError where nothing is left of a name, or two names become one.
    """
    columns = {attribute: _attribute(attribute) for attribute in attributes}
    _check_distinct("attributes", columns)
    renamed = dict(columns)
    values: list[dict[str, str]] = []
    for column, attribute in enumerate(attributes):
        found = {labels[column]: _category(labels[column]) for _, labels in items}
        _check_distinct(f"categories of {attribute}", found)
        renamed |= found
        values.append(found)
    warnings = [f"{old!r} is called {new!r}: that can be typed" for old, new in sorted(renamed.items()) if old != new]
    typed = [(file, tuple(of[label] for of, label in zip(values, labels, strict=True))) for file, labels in items]
    return tuple(columns.values()), typed, warnings


def _attribute(name: str) -> str:
    """ "Skin tone" to "skin_tone"."""
    typed = re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_")
    if not ATTRIBUTE_NAME.fullmatch(typed):
        raise DatasetError(
            f"attribute {name!r}: cannot be named in a request; begin with a letter from a to z, and use a-z 0-9 _ - "
            "(at most 63)"
        )
    return typed


def _category(name: str) -> str:
    """ "squares, big" to "squares-big"."""
    if not UNTYPABLE.search(name):
        return name
    typed = re.sub(r"\s*[=,:]+\s*", "-", re.sub(r"[\x00-\x1f\x7f]+", " ", name)).strip()
    if not typed.strip("-"):
        raise DatasetError(f"category {name!r}: cannot be named in a request; it has no letters but '=', ',' and ':'")
    return typed


def _check_distinct(what: str, names: dict[str, str]) -> None:
    taken: dict[str, str] = {}
    for old, new in names.items():
        if taken.setdefault(new, old) != old:
            raise DatasetError(f"{what}: {taken[new]!r} and {old!r} would both be called {new!r}; rename one")
