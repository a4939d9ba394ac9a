"""A work's link: its recipe as the query of a URL. Whoever opens it sees the same work, drawn again."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlencode

from unikat.artwork import Artwork
from unikat.conditions import where_of_weights
from unikat.metadata import Recipe
from unikat.recipes.artwork import ArtworkRecipe
from unikat.recipes.text import parse_mix, shortest, text_of
from unikat.request import Where, sent_where
from unikat_gallery.problems import refuse

MOST_BYTES: Final = 4096  # of a query
MOST: Final = 1e38  # of a number: a float32 holds it
_SEED: Final = re.compile(r"[0-9]{1,20}")
_INDEX: Final = re.compile(r"[0-9]{1,10}")
_FIELDS: Final = frozenset({"model", "recipe", "seed", "index", "truncation", "background", "attempt"})


@dataclass(frozen=True)
class Link:
    """What a work is drawn from.

    `where` are its conditions; an attribute that is not named is drawn from the training distribution, by the seed and
    the index. Where there is a `recipe` (a line such as "7:3*0.8,9:0*0.6"), it is the latent, and seed and index are 0.
    The query has `model`, `seed` and `index` or `recipe`, where they are said `truncation`, `background` and `attempt`,
    and for each condition `c.style=micah` or, as a blend, `c.style=micah:0.6,lorelei:0.4`.
    """

    model: str
    seed: int
    index: int = 0
    where: Where = field(default_factory=dict)
    truncation: float | None = None
    background: str = ""
    attempt: int = 0
    recipe: str = ""

    @classmethod
    def parse(cls, query: str | Iterable[tuple[str, str]]) -> Self:
        """The recipe of a query. Raises InvalidRequest with the field; names that are unknown are not looked at."""
        if isinstance(query, str):
            if len(query) > MOST_BYTES:
                refuse("link", f"has at most {MOST_BYTES} characters")
            try:
                query = parse_qsl(query, max_num_fields=128)
            except ValueError:
                refuse("link", "has at most 128 fields")
        pairs = list(query)
        if sum(len(name) + len(value) for name, value in pairs) > MOST_BYTES:
            refuse("link", f"has at most {MOST_BYTES} characters")
        said = {name: value for name, value in pairs if name in _FIELDS}
        if not said.get("model"):
            refuse("model", 'name one, for example "portraits"')
        where = {name[2:]: _condition(name, value) for name, value in pairs if name.startswith("c.") and name[2:]}
        return cls(
            said["model"],
            0 if said.get("recipe") else seed_of(said, "seed"),
            _whole(said, "index", _INDEX, 2**32),
            where,
            number("truncation", said["truncation"]) if said.get("truncation") else None,
            said.get("background", ""),
            _whole(said, "attempt", _INDEX, 9),
            said.get("recipe", ""),
        )

    @classmethod
    def of(cls, artwork: Artwork, model: str) -> Self:
        """The recipe of an artwork with everything said that was left open; `model` is "name@version"."""
        attempt = artwork.originality.attempt if artwork.originality else 0
        recipe = text_of(artwork.mix) if artwork.mix else ""
        place = (0, 0) if recipe else (artwork.seed, artwork.index)
        truncation = shortest(artwork.truncation)
        return cls(model, *place, artwork.conditions, truncation, artwork.background, attempt, recipe)

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> Self:
        """That of a recipe in which everything is said: of a file's metadata, or of a claim."""
        where = where_of_weights(recipe.weights)
        mix = text_of(recipe.mix) if recipe.mix else ""
        place = recipe.model, recipe.seed, recipe.index, where, shortest(recipe.truncation), recipe.background
        return cls(*place, recipe.attempt, mix)

    @property
    def query(self) -> str:
        """The same recipe always has the same query."""
        place = [("recipe", self.recipe)] if self.recipe else [("seed", str(self.seed)), ("index", str(self.index))]
        pairs: list[tuple[str, str]] = [("model", self.model), *place]
        pairs += [(f"c.{name}", _text(value)) for name, value in self.where.items()]
        pairs += [("truncation", repr(self.truncation))] if self.truncation is not None else []
        pairs += [("background", self.background)] if self.background else []
        pairs += [("attempt", str(self.attempt))] if self.attempt else []
        return urlencode(pairs, safe=":,@*")

    @property
    def conditions(self) -> Where:
        """The conditions as the service is sent them, so that it comes to the same weights again."""
        return sent_where(self.where)

    @property
    def latent(self) -> ArtworkRecipe:
        """What can be varied and crossed. Raises InvalidRequest for a recipe that is none."""
        try:
            mix = parse_mix(self.recipe or f"{self.seed}:{self.index}")
        except ValueError as error:
            refuse("recipe", str(error))
        return ArtworkRecipe(self.model, mix, self.where, self.truncation, self.background, self.attempt)

    @property
    def asked(self) -> dict[str, Any]:
        """What a studio's `draw` and `generate` are given beside model, conditions and place."""
        return {
            "seed": None if self.recipe else self.seed,
            "recipe": self.recipe or None,
            "truncation": self.truncation,
            "background": self.background,
            "attempt": self.attempt,
        }


def _condition(name: str, text: str) -> str | Mapping[str, float]:
    """A category, or a blend as `one:0.6,other:0.4`."""
    if not text:
        refuse(name, "name a category, or a blend as one:0.6,other:0.4")
    if not {",", ":"} & set(text):
        return text
    weights: dict[str, float] = {}
    for part in text.split(","):
        category, colon, weight = part.rpartition(":")
        if not (colon and category) or category in weights:
            refuse(name, "a blend is written one:0.6,other:0.4, each category once")
        weights[category] = number(name, weight)
    return weights


def _text(value: str | Mapping[str, float]) -> str:
    return value if isinstance(value, str) else ",".join(f"{name}:{shortest(w)!r}" for name, w in value.items())


def number(name: str, text: str) -> float:
    """The number that a text is. Raises InvalidRequest."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not abs(found) <= MOST:
        refuse(name, f"a number, not {text[:40]!r}")
    return found


def seed_of(said: Mapping[str, str], name: str) -> int:
    """The seed that a query says under a name. Raises InvalidRequest."""
    return _whole(said, name, _SEED, 2**64)


def _whole(said: Mapping[str, str], name: str, form: re.Pattern[str], end: int) -> int:
    text = said.get(name, "" if form is _SEED else "0")
    if not form.fullmatch(text) or int(text) >= end:
        refuse(name, f"a whole number from 0 to {end - 1}, not {text[:40]!r}")
    return int(text)
