"""All that an artwork is a pure function of, as a value, and as a link that whoever opens it draws again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

from unikat.bundle import parse_reference
from unikat.recipes.mix import Mix, between, float32, mix_of
from unikat.recipes.text import FORM, parse_mix, shortest, text_of
from unikat.sampling import MAX_ATTEMPT

if TYPE_CHECKING:
    from unikat.request import Where

SCHEME: Final = "unikat:"
LINK_FORM: Final = "unikat:model@version?recipe=7:3&style=ink"
_FIELDS: Final = ("recipe", "truncation", "background", "attempt")  # of a link; all others are conditions
_SAFE: Final = ":*,@"
_CONDITION: Final = "where."  # before an attribute that has the name of a field


@dataclass(frozen=True)
class ArtworkRecipe:
    """`model` is "emoji@2", `mix` the latent, `where` the conditions; an attribute that is left out is drawn as it was.

    `truncation` None is the model's default, `background` "" its usual one.
    """

    model: str
    mix: Mix
    where: Where = field(default_factory=dict)
    truncation: float | None = None
    background: str = ""
    attempt: int = 0

    @property
    def link(self) -> str:
        """`unikat:emoji@2?recipe=7:3*0.8,9:0*0.6&style=noto`, which `parse_link` reads."""
        pairs = [("recipe", text_of(self.mix))]
        pairs += [(_CONDITION + name if name in _FIELDS else name, _value(of)) for name, of in self.where.items()]
        pairs += [] if self.truncation is None else [("truncation", repr(shortest(self.truncation)))]
        pairs += [("background", self.background)] if self.background else []
        pairs += [("attempt", str(self.attempt))] if self.attempt else []
        return f"{SCHEME}{self.model}?" + "&".join(f"{quote(k, safe='')}={quote(v, safe=_SAFE)}" for k, v in pairs)

    def crossed(self, other: ArtworkRecipe, share: float = 0.5) -> ArtworkRecipe:
        """What lies at `share`, 0 (this) to 1 (the other), of the arc between two artworks of one model.

        Conditions that differ become blends, in which each weighs the square of its latent's weight; truncations are
        averaged; the background is this one's. Raises ValueError for artworks of two models, or of two attempts, and
        for latents that are opposite.
        """
        if self.model != other.model:
            raise ValueError(f"artworks of two models cannot be mixed: {self.model} and {other.model}")
        if self.attempt != other.attempt:
            raise ValueError(f"artworks of attempts {self.attempt} and {other.attempt} cannot be mixed")
        ends = between(mix_of([((0, 0), 1.0)]), mix_of([((0, 1), 1.0)]), share)
        shares = {place: by * by for place, by in ends.points}
        weighed = [(self.where, shares.get((0, 0), 0.0)), (other.where, shares.get((0, 1), 0.0))]
        names = dict.fromkeys(name for of, by in weighed if by for name in of)
        where = {name: _blended([(of[name], by) for of, by in weighed if by and name in of]) for name in names}
        truncation = self.truncation
        if self.truncation is not None and other.truncation is not None:
            truncation = (1.0 - share) * self.truncation + share * other.truncation
        return replace(self, mix=between(self.mix, other.mix, share), where=where, truncation=truncation)


def parse_link(text: str) -> ArtworkRecipe:
    """The recipe of a link. Raises ValueError for what is none."""
    if not text.startswith(SCHEME):
        raise ValueError(f"a link is {LINK_FORM}")
    model, _, query = text.removeprefix(SCHEME).partition("?")
    parse_reference(model)
    said = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=256)) if query else {}
    if "recipe" not in said:
        raise ValueError(f"a link has a recipe, as in {LINK_FORM}: {FORM}")
    where = {name.removeprefix(_CONDITION): _parsed(name, of) for name, of in said.items() if name not in _FIELDS}
    attempt = said.get("attempt", "0")
    if not (attempt.isdecimal() and len(attempt) == 1 and int(attempt) <= MAX_ATTEMPT):
        raise ValueError(f"attempt: must be 0 to {MAX_ATTEMPT}, not {attempt[:20]!r}")
    truncation = float32(float(said["truncation"])) if "truncation" in said else None
    mix = parse_mix(said["recipe"])
    return ArtworkRecipe(model, mix, where, truncation, said.get("background", ""), int(attempt))


def _value(of: str | Mapping[str, float]) -> str:
    # A category's name has neither ":" nor "," in it (`unikat.bundle.UNTYPABLE`).
    return of if isinstance(of, str) else ",".join(f"{name}:{shortest(weight)!r}" for name, weight in of.items())


def _parsed(name: str, text: str) -> str | dict[str, float]:
    if ":" not in text:
        return text
    try:
        pairs = [part.rpartition(":") for part in text.split(",")]
        return {category: float32(float(weight)) for category, _, weight in pairs}
    except ValueError as error:
        raise ValueError(f"{name}: must be a category, or a blend one:0.7,other:0.3, not {text[:80]!r}") from error


def _blended(parts: list[tuple[str | Mapping[str, float], float]]) -> str | Mapping[str, float]:
    """One of two values where they are the same, or one has nothing to say; else their blend."""
    if len({repr(value) for value, _ in parts}) == 1:
        return parts[0][0]
    blend: dict[str, float] = {}
    for value, by in parts:
        for category, weight in ({value: 1.0} if isinstance(value, str) else value).items():
            blend[category] = blend.get(category, 0.0) + weight * by
    return blend
