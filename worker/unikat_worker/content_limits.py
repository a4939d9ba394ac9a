"""The setting `--content-gate`: from which score on drawings of a model are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from unikat.bundle import parse_reference

EVERY: Final = ""  # stands for all models that have no limit of their own


@dataclass(frozen=True)
class ContentLimits:
    """Scores from which on a drawing is refused, by the model's name; EVERY for all others."""

    of: Mapping[str, float]

    @classmethod
    def parse(cls, text: str) -> ContentLimits:
        """ "0.8", "portraits=0.6" or both with commas between. Raises ValueError."""
        found: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, limit = part.rpartition("=")
            if not _is_limit(limit) or (equals and not _is_name(name)) or name in found:
                text = "give 0.8, or portraits=0.6 for a model, each once, above 0 to 1"
                raise ValueError(f"{part!r} is not a limit: {text}")
            found[name] = float(limit)
        return cls(found)

    def limit(self, model: str) -> float | None:
        """Of the model of this name; None where the gate does not look at it."""
        return self.of.get(model, self.of.get(EVERY))


def _is_limit(text: str) -> bool:
    try:
        return 0 < float(text) <= 1
    except ValueError:
        return False


def _is_name(text: str) -> bool:
    try:
        return parse_reference(text)[1] is None
    except ValueError:
        return False
