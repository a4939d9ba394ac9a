"""What figures cannot tell: the generated pictures nearest to training pictures, blends, and curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.blends import Pair, choose_pairs, path_of
from unikat_training.evaluation.extractors import Pixels
from unikat_training.evaluation.memorisation import Neighbours
from unikat_training.evaluation.results import Evaluation
from unikat_training.evaluation.subject import Subject
from unikat_training.evaluation.wishes import Wish
from unikat_training.pictures import COLUMNS, LABEL_SIZE, TILE, Row, draw_sheet, png

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
    known = trained.pixels(found.places[closest])
    size = trained.resolution * max(1, TILE // trained.resolution)
    width, height, top = 2 * size + 14, size + LABEL_SIZE + 8, LABEL_SIZE + 12
    sheet = Image.new("RGB", (PAIRS * width, top + -(-len(closest) // PAIRS) * height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(LABEL_SIZE)
    pen.text((4, 4), "generated, the nearest training picture, and their distance", fill="black", font=font)
    for place, index in enumerate(closest):
        x, y = place % PAIRS * width, top + place // PAIRS * height
        for side, pixels in enumerate((drawn[place], known[place])):
            sheet.paste(enlarged(pixels, size), (x + side * (size + 2), y))
        pen.text((x, y + size + 2), f"{found.distances[index]:.2f}", fill="black", font=font)
    return png(sheet)


def enlarged(pixels: Pixels, size: int) -> Image.Image:
    return Image.fromarray(pixels).resize((size, size), Image.Resampling.NEAREST)


def blend_sheet(subject: Subject) -> bytes:
    """One latent a row, from one category to another."""
    pairs = choose_pairs(subject, BLENDS)
    weights = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None]
    rows, paths = [], []
    for number, pair in enumerate(pairs):
        path = path_of(subject, pair, 1)
        rows.append(Row(name_of(subject, pair), path[0, 0]))
        paths.append((np.full(STEPS, number), (1 - weights) * path[0] + weights * path[-1]))

    def draw(index: int, row: Row) -> npt.NDArray[np.uint8]:
        return np.concatenate(list(subject.draw(*paths[index], subject.truncations[-1])))

    return png(draw_sheet(rows, STEPS, draw))


def name_of(subject: Subject, pair: Pair) -> str:
    categories = subject.model.attributes[pair.column].categories
    return f"{categories[pair.one].name} / {categories[pair.other].name}"


def wish_sheet(subject: Subject, wishes: Sequence[Wish]) -> bytes:
    """A wish a row, and the share of its drawings in which the classifier finds it."""
    labels = np.array([each.labels for each in wishes], dtype=np.int64)
    conditions = subject.conditions(labels)
    rows = [Row(f"{w.name}: {w.recognised:.0%}", conditions[i]) for i, w in enumerate(wishes)]

    def draw(index: int, row: Row) -> npt.NDArray[np.uint8]:
        asked = np.repeat(row.condition[None], COLUMNS, axis=0)
        return np.concatenate(list(subject.draw(np.arange(COLUMNS), asked, subject.truncations[-1])))

    return png(draw_sheet(rows, COLUMNS, draw))


def curves(evaluation: Evaluation, found: Neighbours, test: Neighbours) -> bytes:
    """Distances to the training set; accuracy of each category; the way of each blend."""
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
