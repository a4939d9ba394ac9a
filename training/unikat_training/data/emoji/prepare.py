"""The emoji set from its packages to labelled pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unikat_training.data.build import Picture, Recipe
from unikat_training.data.dataset import Attribute
from unikat_training.data.emoji.catalogue import CATEGORIES, TONES, Emoji, is_left_out, read_catalogue
from unikat_training.data.emoji.drawings import Icons
from unikat_training.data.emoji.packages import Package, fetch
from unikat_training.data.emoji.rendering import Drawing, render
from unikat_training.data.emoji.styles import CATALOGUE, CATALOGUE_SOURCE, RECORDED_DIGESTS, STYLES, Style
from unikat_training.data.parallel import map_in_order
from unikat_training.data.report import Problem


@dataclass(frozen=True)
class Collection:
    """The packages of a set of styles; the default is the pinned one."""

    catalogue: Package = CATALOGUE
    styles: tuple[Style, ...] = STYLES

    @property
    def packages(self) -> tuple[Package, ...]:
        """All that has to be fetched."""
        return (self.catalogue, *(style.package for style in self.styles))


@dataclass(frozen=True)
class _Job:
    style: str
    emoji: Emoji
    drawing: Drawing


def emoji_recipe(resolution: int, collection: Collection, channels: int = 3) -> Recipe:
    """What the emoji set is, apart from its pictures."""
    attributes = (
        Attribute("style", "whose drawing it is", tuple(style.name for style in collection.styles)),
        Attribute("category", "what it shows", tuple(CATEGORIES)),
        Attribute("tone", "skin tone; none: yellow, or no skin", TONES),
    )
    labels = replace(CATALOGUE_SOURCE, origin=collection.catalogue.spec)
    sources = (*(style.source for style in collection.styles), labels)
    known = collection == Collection() and channels == 3
    recorded = RECORDED_DIGESTS.get(resolution, "") if known else ""
    name = f"emoji-{resolution}" if channels == 3 else f"emoji-{resolution}-rgba"
    return Recipe(name, resolution, attributes, sources, recorded_digest=recorded, channels=channels)


def fetch_all(collection: Collection, cache: Path, on_fetched: Callable[[], object]) -> dict[Package, Path]:
    """The packages' tarballs, from the cache or by npm. Raises DatasetError as `fetch` does."""
    tarballs = {}
    for package in collection.packages:
        tarballs[package] = fetch(package, cache)
        on_fetched()
    return tarballs


class EmojiDrawings:
    """All drawings that belong to the set, before any is rendered."""

    def __init__(
        self, collection: Collection, tarballs: Mapping[Package, Path], resolution: int, channels: int = 3
    ) -> None:
        self.problems: list[Problem] = []
        self.jobs: list[_Job] = []
        catalogue = read_catalogue(tarballs[collection.catalogue])
        icons = {style.name: Icons.read(tarballs[style.package]) for style in collection.styles}
        names = {name: hexcode for each in reversed(icons.values()) for name, hexcode in each.hexcodes.items()}
        for style in collection.styles:
            drawings, unknown = icons[style.name].drawings(catalogue, names)
            self.problems += [Problem("unlabelled", f"{style.name}/{name}", "no such emoji name") for name in unknown]
            kept = {*icons[style.only_with].hexcodes.values()} if style.only_with else {*drawings}
            for hexcode, content in drawings.items():
                emoji = catalogue.emoji.get(hexcode)
                if hexcode in kept and is_left_out(hexcode):
                    self.problems.append(Problem("excluded", f"{style.name}/{hexcode}", "an insult"))
                elif hexcode in kept and emoji is not None:
                    self.jobs.append(_Job(style.name, emoji, Drawing(content, style.scale, resolution, channels)))

    def __len__(self) -> int:
        return len(self.jobs) + len(self.problems)

    def pictures(self, processes: int) -> Iterator[Picture | Problem]:
        """Renders all, in a fixed order: by style, then by hexcode."""
        yield from self.problems
        yield from map_in_order(_draw, self.jobs, processes)


def _draw(job: _Job) -> Picture | Problem:
    name = f"{job.style}/{job.emoji.hexcode} {job.emoji.name}"
    try:
        pixels = render(job.drawing)
    except (ValueError, OSError) as error:
        return Problem("broken", name, str(error))
    if pixels is None:
        return Problem("broken", name, "nothing of it can be seen")
    # Of the style too: two designers may agree, and both count.
    fingerprint = hashlib.sha256(job.style.encode() + pixels.tobytes()).digest()
    return Picture(name, (job.style, job.emoji.category, job.emoji.tone), pixels, fingerprint)
