"""The comparison as Markdown, and as a picture: the first drawings of each contender, whatever they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.training.results import REAL, Result
from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.subject import Subject
from unikat_training.sheet import Block, Strip, draw_sheet, png

COLUMNS = 12
FIGURES = ("Fréchet distance", "KID", "density", "coverage", "recall")  # a column that nobody has is left out
LOWER = ("Fréchet distance", "KID")  # is better
Pixels = npt.NDArray[np.uint8]


def table(results: Sequence[Result], order: Sequence[str]) -> list[str]:
    """One line a contender in this order, real pictures first; the best of each figure is bold."""
    shown = sorted(results, key=lambda each: order.index(each.contender) if each.contender in order else -1)
    attributes = list(dict.fromkeys(name for each in shown for name in each.accuracy))
    measured = [name for name in FIGURES if any(figures(each, attributes)[name] is not None for each in shown)]
    head = ["", "images shown", "images/s", *measured, *attributes]
    lines = [line(head), line(["---", *["---:"] * (len(head) - 1)])]
    best = best_of([each for each in shown if each.contender != REAL], attributes)
    for each in shown:
        cells = [REAL, "–", "–"] if each.contender == REAL else [f"`{each.contender}`", f"{each.images:,}"]
        values = {name: value for name, value in figures(each, attributes).items() if name in head}
        if each.contender != REAL:
            values = {"images/s": each.images_per_second, **values}
        lines.append(line([*cells, *(cell(name, value, best) for name, value in values.items())]))
    return lines


def figures(result: Result, attributes: Sequence[str]) -> dict[str, float | None]:
    """What is compared; None where a model has no such condition."""
    found: dict[str, float | None] = {
        "Fréchet distance": result.frechet,
        "KID": result.kid,
        "density": result.density,
        "coverage": result.coverage,
        "recall": result.recall,
    }
    return found | {name: result.accuracy.get(name) for name in attributes}


def best_of(results: Sequence[Result], attributes: Sequence[str]) -> dict[str, float]:
    """The best value of each figure."""
    best: dict[str, float] = {}
    for name in figures(results[0], attributes) if results else ():
        values = [value for each in results if (value := figures(each, attributes)[name]) is not None]
        if values:
            best[name] = min(values) if name in LOWER else max(values)
    return best


def cell(name: str, value: float | None, best: Mapping[str, float]) -> str:
    if value is None:
        return "–"
    text = f"{value:.1f}" if name in ("images/s", "Fréchet distance") else f"{value:.2f}"
    return f"**{text}**" if best.get(name) == value else text


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def heading(name: str, results: Sequence[Result], minutes: float) -> str:
    """What the figures of a data set were measured on."""
    one = results[0]
    return (
        f"**{name}**: {one.trained:,} pictures to learn from, measured on {one.test:,} others with {one.samples:,} "
        f"drawings, in features of {one.features}; {minutes:g} minutes of CPU time each."
    )


def picture(test: Dataset, subjects: Mapping[str, Subject]) -> bytes:
    """A sheet (PNG): test pictures, and under them what each model draws of the same conditions, seeds 0 to 11."""
    conditional = next((each for each in subjects.values() if each.sizes), None)
    labels = conditional.labels(COLUMNS) if conditional else np.zeros((COLUMNS, 0), dtype=np.int64)
    strips = [Strip(REAL, test.pixels(alike(test.labels, labels)))]
    for name, subject in subjects.items():
        asked = labels if subject.sizes else labels[:, :0]
        drawn = subject.draw(np.arange(COLUMNS), subject.conditions(asked), 1.0)
        strips.append(Strip(name, np.concatenate(list(drawn))))
    return png(draw_sheet([Block("", strips)]))


def alike(labels: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For each wanted row (n, A) the first of the labels (N, A) that agrees with it in most attributes, each once."""
    chosen: list[int] = []
    for row in wanted:
        agreeing = (labels == row).sum(axis=1) if labels.shape[1] == len(row) else np.zeros(len(labels))
        agreeing = agreeing.astype(np.float64)
        agreeing[chosen] = -1
        chosen.append(int(agreeing.argmax()))
    return np.array(chosen, dtype=np.int64)
