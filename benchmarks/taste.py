"""`python -m benchmarks taste`: how much more a proposed wall is liked, and what variety that costs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import typer

from benchmarks.figures import ROOT, write
from benchmarks.provenance.pictures import drawings
from tests.support.tastes import Person, learnt, likes
from unikat_gallery.votes.taste import choose, features

MODELS: Final = ("portraits", "emoji")
PAIRS: Final = (10, 20, 40, 80)
CANDIDATES: Final = (2, 4, 8)
WALL: Final = 24  # works
POOL: Final = 400  # drawings that people vote on
SEED: Final = 23


@cache
def pool(name: str, people: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Features (M, SIZE) and worth (people, M) of drawings: those that are voted on, then those of a wall."""
    pixels = np.concatenate(list(drawings(name, SEED, POOL + WALL * max(CANDIDATES))))
    worth = np.stack([Person.number(number).worth(pixels) for number in range(people)])
    return features(pixels), worth


def row(name: str, people: int, pairs: int) -> Iterator[str]:
    """Cells: for each number of candidates how often a work of the wall is liked rather than one drawn without a
    taste, and how much of the variety is left.
    """
    found, worth = pool(name, people)
    for candidates in CANDIDATES:
        places = POOL + np.arange(WALL * candidates).reshape(WALL, candidates)
        liked, kept = [], []
        for number in range(people):
            taste = learnt(found[:POOL], worth[number, :POOL], pairs, np.random.default_rng([number, pairs]))
            chosen = choose(taste, found[places])
            wall = worth[number, places[np.arange(WALL), chosen.places]]
            liked.append(likes(wall[:, None], worth[number, POOL:]).mean())
            kept.append(chosen.variety / chosen.plain_variety)
        yield f"{np.mean(liked):.0%} ({min(liked):.0%}) / {np.mean(kept):.0%}"


def report(people: int) -> Iterator[str]:
    """The table, as Markdown."""
    yield f"{people} simulated people; walls of {WALL} works."
    yield "In each cell: how often a work of the wall is liked rather than one drawn without a taste, mean of all"
    yield "people (and of the one whom it suits least); how much of the variety is left."
    yield ""
    yield "| model | pairs answered | " + " | ".join(f"best of {each}" for each in CANDIDATES) + " |"
    yield "| --- | ---: |" + " ---: |" * len(CANDIDATES)
    for name in MODELS:
        for pairs in PAIRS:
            yield f"| {name} | {pairs} | " + " | ".join(row(name, people, pairs)) + " |"


def taste(
    people: Annotated[int, typer.Option(help="simulated voters")] = 40,
    write_it: Annotated[bool, typer.Option("--write", help="into docs/judgement.md")] = False,
) -> None:
    """How much more simulated people like a wall that is chosen by what they voted, and what variety that costs."""
    lines = list(report(people))
    print("\n".join(lines))
    if write_it:
        write("taste", lines, ROOT / "docs" / "judgement.md")
