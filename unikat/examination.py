"""Where a picture comes from, by what it carries itself: its metadata, and the watermark in its pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from unikat.batches.layout import conditions_text
from unikat.identity import short_id
from unikat.metadata import Recipe, Statement, read_statement
from unikat.pictures import MAX_PIXELS, read_pixels
from unikat.recipes.text import text_of

if TYPE_CHECKING:
    from unikat.watermark import Detection, Watermark


class Verdict(StrEnum):
    """What follows from metadata and watermark."""

    BOTH = "drawn by Unikat: metadata and watermark agree"
    MARK = "drawn by Unikat: its watermark says so; metadata that say from what are gone"
    METADATA = "it says that it was drawn by Unikat; no watermark of these keys was found, so that nothing confirms it"
    CONTRADICTION = "metadata and picture contradict one another: one of them was changed"
    NOTHING = "nothing says that Unikat drew it: neither metadata nor a watermark of these keys"


@dataclass(frozen=True)
class Findings:
    """What was found in one file. `key` is the id of the key whose watermark was found, "" where none was."""

    statement: Statement | None
    key: str
    detection: Detection | None

    @property
    def verdict(self) -> Verdict:
        said, mark = self.statement, self.detection
        if said is None or not said.is_ours:
            return Verdict.NOTHING if mark is None else Verdict.MARK
        artwork = said.digest or said.source
        if said.recipe is None and not artwork:  # of several images: a sheet, a film
            return Verdict.METADATA if mark is None else Verdict.MARK
        if said.own != said.digest or not artwork.startswith((mark.payload if mark else None) or b""):
            return Verdict.CONTRADICTION
        return Verdict.METADATA if mark is None else Verdict.BOTH

    def facts(self) -> dict[str, Any]:
        """For people and programs."""
        said, mark = self.statement, self.detection
        facts: dict[str, Any] = {"verdict": str(self.verdict)}
        if said is not None and said.is_ours:
            facts["drawn_by"] = said.system
            facts |= {"artwork": said.digest.hex(), "id": short_id(said.digest)} if said.digest else {}
            facts |= _recipe_facts(said.recipe) if said.recipe else {}
            facts |= {"made_from": said.source.hex()} if said.source else {}
            facts |= {"changes": said.changes, "recipe": said.prompt} if said.changes else {}
        if mark is not None:
            facts |= {"mark": self.key, "mark_by_chance": mark.chance}
            facts |= {"mark_of": mark.payload.hex()} if mark.payload else {}
        return facts


def examine(data: bytes, marks: Mapping[str, Watermark], most: int = MAX_PIXELS) -> Findings:
    """What the bytes of a file say and show. Raises OSError and ValueError for no picture, and for more pixels."""
    pixels, statement = read_pixels(data, most), read_statement(data)
    looks = [(id, mark.detect(pixels)) for id, mark in marks.items()]
    key, detection = min(looks, key=lambda look: look[1].chance)
    return Findings(statement, key, detection) if detection.found else Findings(statement, "", None)


def _recipe_facts(recipe: Recipe) -> dict[str, Any]:
    return {
        "model": recipe.model,
        "model_digest": recipe.model_digest,
        "conditions": conditions_text(recipe.weights),
        **({"recipe": text_of(recipe.mix)} if recipe.mix else {"seed": str(recipe.seed), "index": recipe.index}),
        "truncation": recipe.truncation,
        **({"background": recipe.background} if recipe.background else {}),
        **({"attempt": recipe.attempt} if recipe.attempt else {}),
    }
