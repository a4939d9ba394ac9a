"""The setting `--deny`: categories that are not delivered, by model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from unikat.bundle import parse_reference
from unikat.conditions import Denied


@lru_cache(8)
def parse_denied(text: str) -> Mapping[str, Denied]:
    """ "emoji.style=noto,emoji.style=blob" to {"emoji": {"style": ["noto", "blob"]}}. Raises ValueError."""
    found: dict[str, dict[str, list[str]]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        place, equals, category = part.partition("=")
        model, dot, attribute = place.partition(".")
        try:
            is_name = parse_reference(model)[1] is None
        except ValueError:
            is_name = False
        if not (is_name and dot and attribute and equals and category):
            raise ValueError(f"{part!r} must be model.attribute=category, for example portraits.mood=serious")
        found.setdefault(model, {}).setdefault(attribute, []).append(category)
    return found
