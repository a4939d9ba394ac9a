"""Scenes and patterns of DiceBear, all CC0, by genre and the colour that most of the picture has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from unikat.pictures import on_white
from unikat_training.data.build import Picture, Recipe
from unikat_training.data.colours import COLOURS, colour_name
from unikat_training.data.dataset import Attribute
from unikat_training.data.parallel import map_in_order
from unikat_training.data.portraits.styles import definition, source
from unikat_training.data.report import Problem
from unikat_training.data.svg import rasterised
from unikat_training.data.turns import Turn, in_turn

if TYPE_CHECKING:
    import dicebear  # loads a parser of IRIs, 2 s, which only who draws waits for

GENRES: Final = (
    *("landscape", "planets", "sprouts", "critters", "clay", "cutouts", "marbles", "shadows", "stack", "slice"),
    *("patchwork", "weave", "waves", "shapes", "loops", "stripes", "constellation", "pixelbot", "glass", "disco"),
)
COUNT: Final = 60_000  # 3,000 of each genre


def scenes_recipe(size: int) -> Recipe:
    """What the scenes are, apart from their pictures. Raises DatasetError for a genre without an open licence."""
    attributes = (
        Attribute("genre", "what kind of picture it is", GENRES),
        Attribute("colour", "the colour that most of it has, measured", COLOURS),
    )
    return Recipe(f"scenes-{size}", size, attributes, tuple(map(source, GENRES)))


def scenes(size: int, count: int, seed: int, processes: int) -> Iterator[Picture | Problem]:
    """`count` scenes, of each genre in turn; each follows from `seed`, its genre and its number alone."""
    return map_in_order(_draw, in_turn(GENRES, count, seed, size), processes)


@cache
def _style(genre: str) -> dicebear.Style:
    import dicebear

    return dicebear.Style(definition(genre))


def _draw(turn: Turn) -> Picture | Problem:
    import dicebear

    rng, components = turn.random(), definition(turn.kind)["components"]
    variants = {part: list(each["variants"]) for part, each in components.items() if each.get("variants")}
    options: dict[str, Any] = {"seed": f"{rng.random():.12f}"}
    options |= {f"{part}Variant": rng.choice(found) for part, found in variants.items()}
    options |= {"animationProbability": 0} if "animation" in components else {}
    try:
        image = rasterised(str(dicebear.Avatar(_style(turn.kind), options)), turn.size, turn.size)
    except (ValueError, OSError) as error:
        return Problem("broken", turn.name, str(error))
    pixels = on_white(np.asarray(image, dtype=np.uint8))
    fingerprint = hashlib.sha256(turn.kind.encode() + pixels.tobytes()).digest()
    return Picture(turn.name, (turn.kind, colour_name(pixels)), pixels, fingerprint)
