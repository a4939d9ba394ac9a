"""The portraits from the styles' package to labelled pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from unikat_training.data.build import Picture, Recipe
from unikat_training.data.dataset import Attribute
from unikat_training.data.parallel import map_in_order
from unikat_training.data.portraits.drawing import GLASSES_WEIGHTS, HAIR, NO_HAIR, SKIN, compose, draw
from unikat_training.data.portraits.styles import source, styles
from unikat_training.data.report import Problem
from unikat_training.data.turns import Turn, in_turn

COUNT: Final = 84_000  # 6,000 of each style
HAIRS: Final = ("bald", "short", "long", "covered")
MOODS: Final = ("happy", "serious", "surprised")

# images.npy by size, count and seed, as dicebear-core 10.7.0, dicebear-styles 10.6.0 and resvg-py 0.5.0 made it.
RECORDED_DIGESTS: Final = {
    (64, COUNT, 0): "sha256:bc9eaee17242f1d45e11ba339f2313c19b223adfe6b6dd2cc4b3efa8905af909",
}


def portraits_recipe(size: int, count: int, seed: int) -> Recipe:
    """What the portraits are, apart from their pictures. Raises DatasetError for a style without an open licence."""
    attributes = (
        Attribute("style", "whose way of drawing it is", tuple(styles())),
        Attribute("skin", "tone of the skin", tuple(SKIN)),
        Attribute("hair_color", "colour of the hair; none: no hair is seen", (NO_HAIR, *HAIR)),
        Attribute("hair", "length of the hair; covered: by a hat, a scarf or a turban", HAIRS),
        Attribute("glasses", "none, clear or dark ones", tuple(GLASSES_WEIGHTS)),
        Attribute("facial_hair", "a beard or a moustache", ("no", "yes")),
        Attribute("mood", "what the mouth says", MOODS),
    )
    recorded = RECORDED_DIGESTS.get((size, count, seed), "")
    sources = tuple(source(name) for name in styles())
    return Recipe(f"portraits-{size}", size, attributes, sources, recorded_digest=recorded, channels=4)


def portraits(size: int, count: int, seed: int, processes: int) -> Iterator[Picture | Problem]:
    """`count` portraits, of each style in turn; each follows from `seed`, its style and its number alone."""
    return map_in_order(_draw, in_turn(list(styles()), count, seed, size), processes)


def _draw(turn: Turn) -> Picture | Problem:
    portrait, options = compose(styles()[turn.kind], turn.random())
    try:
        pixels = draw(turn.kind, options, turn.size)
    except (ValueError, OSError) as error:
        return Problem("broken", turn.name, str(error))
    # Of the style too: what two styles draw alike counts for both.
    fingerprint = hashlib.sha256(turn.kind.encode() + pixels.tobytes()).digest()
    return Picture(turn.name, portrait.labels, pixels, fingerprint)
