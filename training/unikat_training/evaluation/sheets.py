"""What figures cannot tell: the generated pictures nearest to training pictures, blends, and curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.blends import Pair, choose_pairs, path_of
from unikat_training.evaluation.memorisation import Neighbours
from unikat_training.evaluation.results import Evaluation
from unikat_training.evaluation.subject import Subject
from unikat_training.evaluation.wishes import Wish
from unikat_training.pictures import COLUMNS
from unikat_training.sheet import Block, Strip, draw_sheet, png

ROWS, PAIRS = 8, 6  # of the sheet of neighbours
STEPS = 9  # of an interpolation
BLENDS = 6  # an attribute


@dataclass(frozen=True)
class Sheets:
    """PNG files by what they are called in the folder of an evaluation."""

    files: dict[str, bytes]


def draw_sheets(
    evaluation: Evaluation, subject: Subject, trained: Dataset, found: Neighbours, test: Neighbours
) -> Sheets:
    """`found` and `test` are the training neighbours of the generated pictures, at default truncation, and of tests."""
    files = {
        "neighbours.png": neighbour_sheet(subject, trained, found),
        "curves.png": curves(evaluation, found, test),
    }
    if subject.sizes:
        files["blends.png"] = blend_sheet(subject)
    if evaluation.wishes:
        files["wishes.png"] = wish_sheet(subject, evaluation.wishes)
    return Sheets(files)


def neighbour_sheet(subject: Subject, trained: Dataset, found: Neighbours) -> bytes:
    """Pairs: a generated picture, its nearest training picture, their distance; the closest pairs first."""
    closest = np.argsort(found.distances, kind="stable")[: ROWS * PAIRS]
    conditions = subject.conditions(subject.labels(len(found.distances)))[closest]
    drawn = np.concatenate(list(subject.draw(closest, conditions, subject.truncations[-1])))
    pairs = np.stack((drawn, trained.pixels(found.places[closest])), axis=1)  # (n, 2, H, H, 3)
    strips = []
    for start in range(0, len(closest), PAIRS):
        row = slice(start, start + PAIRS)
        captions = [words for index in closest[row] for words in (f"{found.distances[index]:.2f}", "")]
        strips.append(Strip("", np.concatenate(pairs[row]), captions))
    title = "generated, the nearest training picture, and their distance"
    return png(draw_sheet([Block("", strips)], title, ("generated", "training") * min(PAIRS, len(closest))))


def blend_sheet(subject: Subject) -> bytes:
    """One latent a row, from one category to another."""
    pairs = choose_pairs(subject, BLENDS)
    weights = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
    strips = []
    for number, pair in enumerate(pairs):
        path = path_of(subject, pair, 1)
        conditions = (1 - weights) * path[0] + weights * path[-1]
        drawn = subject.draw(np.full(STEPS, number), conditions, subject.truncations[-1])
        strips.append(Strip(name_of(subject, pair), np.concatenate(list(drawn))))
    return png(draw_sheet([Block("", strips)]))


def name_of(subject: Subject, pair: Pair) -> str:
    categories = subject.model.attributes[pair.column].categories
    return f"{categories[pair.one].name} / {categories[pair.other].name}"


def wish_sheet(subject: Subject, wishes: Sequence[Wish]) -> bytes:
    """A wish a row, and the share of its drawings in which the classifier finds it."""
    labels = np.array([each.labels for each in wishes], dtype=np.int64)
    strips = []
    for wish, condition in zip(wishes, subject.conditions(labels), strict=True):
        asked = np.repeat(condition[None], COLUMNS, axis=0)
        drawn = subject.draw(np.arange(COLUMNS), asked, subject.truncations[-1])
        strips.append(Strip(f"{wish.name}: {wish.recognised:.0%}", np.concatenate(list(drawn))))
    return png(draw_sheet([Block("", strips)]))


def curves(evaluation: Evaluation, found: Neighbours, test: Neighbours) -> bytes:
    """Distances to the training set; accuracy of each category; the way of each blend."""
    from matplotlib.figure import Figure  # half a second, which a command that draws no curve saves

    count = 1 + len(evaluation.default.condition_accuracy) + (1 if evaluation.blends else 0)
    figure = Figure(figsize=(10, 3.2 * count), layout="constrained")
    axes = figure.subplots(count, 1, squeeze=False)[:, 0]
    bins = np.linspace(0, max(found.distances.max(), test.distances.max(), 1e-6), 60)
    for name, neighbours in (("generated", found), ("test", test)):
        axes[0].hist(neighbours.distances, bins, density=True, histtype="step", label=f"{name} → training")
    axes[0].set_title("distance to the nearest training picture")
    axes[0].legend()
    for axis, each in zip(axes[1:], evaluation.default.condition_accuracy, strict=False):
        places = np.arange(len(each.categories))
        for shift, name in ((-0.2, "generated"), (0.2, "real")):
            axis.bar(places + shift, [getattr(c, name) or 0 for c in each.categories], 0.4, label=name)
        axis.set_xticks(places, [c.category for c in each.categories], rotation=30, ha="right")
        axis.set_title(f"share of pictures whose {each.attribute} the classifier recognises")
        axis.legend()
    if evaluation.blends:
        for blend in evaluation.blends:
            axes[-1].plot(np.linspace(0, 1, len(blend.share)), blend.share, linewidth=0.8, alpha=0.6)
        axes[-1].set_title("blends: share of the second category's probability, by its weight")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()
