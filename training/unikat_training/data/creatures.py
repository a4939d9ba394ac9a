"""Creatures of Robohash: robots, monsters, droids and cats, composed of layers with alpha, by kind and colour.

The package is 44 MB, so that it is no dependency: pip fetches its wheel alone, once, and its digest is checked.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from unikat_training.data.build import Picture, Recipe
from unikat_training.data.colours import COLOURS, colour_name
from unikat_training.data.dataset import Attribute, Source
from unikat_training.data.parallel import map_in_order
from unikat_training.data.pictures import cleared
from unikat_training.data.report import Problem
from unikat_training.data.turns import Turn, in_turn
from unikat_training.errors import DatasetError
from unikat_training.fetching import FetchError, Wheel, cache_folder

COUNT: Final = 60_000  # 15,000 of each kind
WHEEL: Final = Wheel(
    "robohash==2.0",
    "robohash-2.0-py3-none-any.whl",
    "fbb51f1e30924200a3c055360eddc09d722018a47ff28f4a73d523889b3d6ba4",
)


@dataclass(frozen=True)
class Kind:
    """A set of Robohash, and as its documentation says it, who drew it under which licence.

    `coloured` is the layer whose colour is the creature's, by the name behind its number.
    """

    folder: str
    coloured: str
    artist: str
    licence: str


KINDS: Final = {
    "robot": Kind("set1", "Face", "Zikri Kader", "CC-BY-4.0"),
    "monster": Kind("set2", "FaceColors", "Hrvoje Novakovic", "CC-BY-3.0"),
    "droid": Kind("set3", "BaseFace", "Julian Peter Arias", "CC-BY-3.0"),
    "cat": Kind("set4", "body", "David Revoy", "CC-BY-4.0"),
}


@dataclass(frozen=True)
class Layer:
    """One of a kind's layers: files in the wheel, one of which is drawn."""

    name: str
    files: tuple[str, ...]


def creatures_recipe(size: int) -> Recipe:
    """What the creatures are, apart from their pictures."""
    attributes = (
        Attribute("kind", "what kind of creature it is", tuple(KINDS)),
        Attribute("colour", "the colour of its face, or of a cat's body, measured", COLOURS),
    )
    sources = tuple(
        Source(f"Robohash {each.folder}", WHEEL.spec, each.licence, f"{name}s by {each.artist}, by robohash.org")
        for name, each in KINDS.items()
    )
    return Recipe(f"creatures-{size}", size, attributes, sources, channels=4)


def fetch(folder: Path | None = None) -> Path:
    """The wheel, in this folder or the user's cache. Raises DatasetError when it cannot be fetched."""
    try:
        return WHEEL.fetched(folder or cache_folder("robohash"))
    except FetchError as error:
        raise DatasetError(str(error)) from error


def creatures(wheel: Path, size: int, count: int, seed: int, processes: int) -> Iterator[Picture | Problem]:
    """`count` creatures, of each kind in turn; each follows from `seed`, its kind and its number alone."""
    return map_in_order(partial(_draw, wheel), in_turn(list(KINDS), count, seed, size), processes)


@cache
def _archive(wheel: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel)  # one a process: reading its directory takes longer than a picture


@cache
def layers(wheel: Path) -> Mapping[str, list[list[Layer]]]:
    """For each kind its families (a robot's parts have one colour each), which are layers in the order of drawing."""
    files = sorted(name for name in _archive(wheel).namelist() if name.endswith(".png"))
    found: dict[str, list[list[Layer]]] = {}
    for kind, each in KINDS.items():
        families: defaultdict[str, list[Layer]] = defaultdict(list)
        own = [name for name in files if name.startswith(f"robohash/sets/{each.folder}/")]
        for folder, group in groupby(own, lambda name: name.rpartition("/")[0]):
            family, _, layer = folder.rpartition("/")
            families[family].append(Layer(layer.partition("#")[2], tuple(group)))
        # "003#01Body": the number behind # is the order of drawing, which for some is missing or shared
        found[kind] = [sorted(family, key=lambda layer: layer.name) for _, family in sorted(families.items())]
    return found


@cache
def _part(wheel: Path, name: str, size: int) -> Image.Image:
    with _archive(wheel).open(name) as file, Image.open(file, formats=("PNG",)) as image:
        return image.convert("RGBA").resize((size, size), Image.Resampling.LANCZOS)


@cache
def _colour(wheel: Path, name: str, size: int) -> str:
    return colour_name(np.asarray(_part(wheel, name, size)))


def _draw(wheel: Path, turn: Turn) -> Picture | Problem:
    rng, kind = turn.random(), KINDS[turn.kind]
    whole, colour = Image.new("RGBA", (turn.size, turn.size)), ""
    for layer in rng.choice(layers(wheel)[turn.kind]):
        part = rng.choice(layer.files)
        whole.alpha_composite(_part(wheel, part, turn.size))
        if layer.name.lstrip("0123456789") == kind.coloured:
            colour = _colour(wheel, part, turn.size)
    pixels = cleared(np.asarray(whole))
    return Picture(turn.name, (turn.kind, colour), pixels, hashlib.sha256(pixels.tobytes()).digest())
