"""Emoji of one style: 50, 100 and 300 to train on, the others to measure on, and those of all styles to judge by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from unikat_training.data.build import Output, Picture, Recipe, build
from unikat_training.data.dataset import Attribute, Dataset
from unikat_training.data.emoji.prepare import Collection, EmojiDrawings, emoji_recipe, fetch_all
from unikat_training.data.emoji.styles import CATALOGUE_SOURCE
from unikat_training.data.split import group_of, places
from unikat_training.fetching import cache_folder

SIZE: Final = 64
STYLE: Final = "fluentflat"
CATEGORIES: Final = ("animal", "face", "food", "plant", "vehicle")  # no persons: those the portraits know
COUNTS: Final = (50, 100, 300)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Few:
    """Data sets of one attribute, the category."""

    trained: dict[int, Dataset]  # by the number of pictures; each has those of the smaller ones too
    test: Dataset  # of the same style, not trained on
    judged: Dataset  # of all styles, for the classifier; none of a test picture's emoji


def few(folder: Path) -> Few:
    """The data sets below `folder`, prepared unless they are there (a minute; npm has to be at hand)."""
    names = {**{str(count): count for count in COUNTS}, "test": 0, "judged": 0}
    if not all((folder / name).exists() for name in names):
        prepare(folder)
    found = {name: Dataset.load(folder / name) for name in names}
    return Few({count: found[str(count)] for count in COUNTS}, found["test"], found["judged"])


def prepare(folder: Path) -> None:
    everything = all_styles(folder / "all")
    styles = everything.attributes[0].categories
    own = np.flatnonzero(everything.labels[:, 0] == styles.index(STYLE))
    own = own[np.argsort(places([everything.items[row] for row in own]), kind="stable")]
    for count in COUNTS:
        part(everything, own[:count], folder / str(count))
    rest = own[max(COUNTS) :]
    part(everything, rest, folder / "test")
    tested = {group_of(everything.items[row]) for row in rest}
    others = [row for row, item in enumerate(everything.items) if group_of(item) not in tested]
    part(everything, np.array(others), folder / "judged")


def all_styles(path: Path) -> Dataset:
    """The categories in all styles, with alpha and without skin tones."""
    if not path.exists():
        collection = Collection()
        tarballs = fetch_all(collection, cache_folder("npm"), lambda: None)
        drawings = EmojiDrawings(collection, tarballs, SIZE, channels=4)
        drawings.jobs = [job for job in drawings.jobs if job.emoji.category in CATEGORIES and job.emoji.tone == "none"]
        build(emoji_recipe(SIZE, collection, channels=4), drawings.pictures(processes=1), Output(path))
    return Dataset.load(path)


def part(everything: Dataset, rows: Rows, path: Path) -> None:
    """Some of the pictures as a data set of their own, labelled with their category alone."""

    def pictures() -> Iterator[Picture]:
        for row in rows:
            category = everything.attributes[1].categories[everything.labels[row, 1]]
            pixels = everything.layers(np.array([row]))[0]
            yield Picture(everything.items[row], (category,), pixels, str(row).encode())

    drawn_by = {everything.items[row].split("/")[0] for row in rows}
    sources = tuple(source for source in everything.sources if source.name in {*drawn_by, CATALOGUE_SOURCE.name})
    attribute = Attribute("category", "what it shows", CATEGORIES)
    build(Recipe(f"emoji-{path.name}", SIZE, (attribute,), sources, channels=4), pictures(), Output(path))
