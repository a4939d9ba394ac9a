"""Wishes that the data cannot contain: categories that never occur together, as one illustrator's drawings in a colour
that this illustrator does not have. What a model draws of them it has made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from unikat_training.evaluation.condition_accuracy import Labels, Predictions
from unikat_training.evaluation.setup import EvaluationSetup
from unikat_training.evaluation.subject import Subject

WISHES = 16
IMAGES = 32  # of each, of which the sheet shows the first
WIDTHS = (2, 3)  # categories that never occur together: two, or three where all pairs occur
MOST = 500  # such combinations that are looked at, evenly out of all


@dataclass(frozen=True)
class Wish:
    """`categories` (by attribute) never occur together in the whole data set; `labels` complete them."""

    categories: dict[str, str]
    labels: tuple[int, ...]
    recognised: float  # share of the drawings in which the classifier finds all of `categories`

    @property
    def name(self) -> str:
        return " + ".join(self.categories.values())


@dataclass(frozen=True)
class Missing:
    """A combination that does not occur, completed to labels in which as little else as possible is new."""

    columns: tuple[int, ...]
    cell: tuple[int, ...]
    labels: tuple[int, ...]
    news: int  # combinations of as many categories in `labels` that do not occur
    known: int  # real pictures that have the labels with one category changed

    @property
    def parts(self) -> list[tuple[int, int]]:
        """Attributes and categories, by their places."""
        return list(zip(self.columns, self.cell, strict=True))


def choose_wishes(labels: Labels, sizes: Sequence[int], most: int = WISHES) -> list[Missing]:
    """Up to `most` combinations that do not occur among the labels (N, A), a function of them.

    First those in which nothing else is new; of these what was shown least so far: attributes, then categories.
    """
    missing, chosen = missing_combinations(labels, sizes), list[Missing]()
    attributes, categories = Counter[tuple[int, ...]](), Counter[tuple[int, int]]()  # how often each is shown

    def rank(each: Missing) -> tuple[int, ...]:
        times = sum(categories[part] for part in each.parts)
        return each.news, attributes[each.columns], times, -each.known, *each.labels

    while missing and len(chosen) < most:
        best = min(missing, key=rank)
        missing.remove(best)
        chosen.append(best)
        attributes[best.columns] += 1
        categories.update(best.parts)
    return sorted(chosen, key=lambda each: (each.columns, each.cell))


def missing_combinations(labels: Labels, sizes: Sequence[int]) -> list[Missing]:
    """Of two categories that both occur, or of three where all pairs do."""
    found, counts = np.unique(labels, axis=0, return_counts=True)  # (cells, A)
    for width in WIDTHS:
        tables = occurring(found, sizes, width)
        cells: list[Cell] = [(columns, tuple(cell)) for columns, table in tables.items() for cell in absent(table)]
        if cells:
            places = np.unique(np.linspace(0, len(cells) - 1, min(MOST, len(cells))).astype(np.int64))
            return [completed(cells[place], found, counts, tables) for place in places]
    return []


Cell = tuple[tuple[int, ...], tuple[int, ...]]  # attributes, and a category of each
Tables = dict[tuple[int, ...], npt.NDArray[np.bool_]]


def occurring(found: Labels, sizes: Sequence[int], width: int) -> Tables:
    """For each choice of `width` attributes which of their combinations occur."""
    tables: Tables = {}
    for columns in combinations(range(len(sizes)), width):
        tables[columns] = np.zeros([sizes[column] for column in columns], dtype=np.bool_)
        tables[columns][tuple(found[:, list(columns)].T)] = True
    return tables


def absent(table: npt.NDArray[np.bool_]) -> list[list[int]]:
    """Combinations that do not occur, of categories that do."""
    out = ~table
    for axis in range(table.ndim):
        others = tuple(other for other in range(table.ndim) if other != axis)
        out &= table.any(axis=others, keepdims=True)
    cells: list[list[int]] = np.argwhere(out).tolist()
    return cells


def completed(missing: Cell, found: Labels, counts: npt.NDArray[np.int64], tables: Tables) -> Missing:
    """The other categories are those of real labels that differ from the wish in one of its categories."""
    columns, cell = missing
    wanted = (found[:, list(columns)] == cell).sum(axis=1) == len(cell) - 1
    near = np.flatnonzero(wanted) if wanted.any() else np.arange(len(found))
    rows = found[near]
    rows[:, list(columns)] = cell
    news = sum((~table[tuple(rows[:, list(each)].T)]).astype(np.int64) for each, table in tables.items())
    best = int(np.lexsort((-counts[near], news))[0])
    return Missing(columns, cell, tuple(rows[best].tolist()), int(np.asarray(news)[best]), int(counts[near][best]))


def measure_wishes(subject: Subject, setup: EvaluationSetup, labels: Labels) -> tuple[Wish, ...]:
    """Of the labels (N, A) of the whole data set; `IMAGES` drawings a wish at the default truncation."""
    if setup.classifier is None:
        return ()
    out = []
    for each in choose_wishes(labels, subject.sizes):
        asked = np.repeat(np.array([each.labels]), IMAGES, axis=0)
        drawn = subject.draw_labels(asked, subject.truncations[-1], setup.pipeline)
        share = Predictions.of(setup.classifier, drawn).together(each.columns)
        attributes = [subject.model.attributes[column] for column in each.columns]
        names = {a.name: a.categories[value].name for a, value in zip(attributes, each.cell, strict=True)}
        out.append(Wish(names, each.labels, share))
    return tuple(out)
