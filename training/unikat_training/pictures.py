"""Pictures of a run: sample sheets whose rows are conditions, and the curve of the losses."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from unikat_training.data.dataset import Dataset
from unikat_training.sampler import cells

matplotlib.use("Agg")  # a server has no screen; must come before pyplot is imported anywhere
from matplotlib.figure import Figure

Pixels = npt.NDArray[np.uint8]
ROWS = 16
COLUMNS = 12
LABEL_WIDTH = 150  # pixels
LABEL_SIZE = 11  # pixels
GROUNDS = ("#ffffff", "#a8dcf5", "#ffe08a", "#2b3a67")  # of images with alpha, a column after the other
TILE = 64  # smaller images are enlarged to about this, by whole factors: pixels stay pixels


@dataclass(frozen=True)
class Row:
    """One row of a sheet: a condition vector (C,) and what it is called."""

    name: str
    condition: npt.NDArray[np.float32]


def choose_rows(dataset: Dataset, limit: int = ROWS) -> list[Row]:
    """Conditions that occur in the data: every category of the largest attribute, and of the others as evenly as goes.

    A plain data set gives `limit` rows without a name. The choice is a function of the data set.
    """
    if not dataset.attributes:
        return [Row("", np.zeros(0, dtype=np.float32))] * limit
    found, membership = cells(dataset.labels)  # (cells, A)
    sizes = np.bincount(membership)
    largest = max(range(len(dataset.attributes)), key=lambda column: len(dataset.attributes[column].categories))
    shown = [np.zeros(len(attribute.categories)) for attribute in dataset.attributes]
    chosen: list[int] = []
    for _ in range(min(limit, len(found))):
        repeats = np.sum([times[found[:, column]] for column, times in enumerate(shown)], axis=0)  # (cells,)
        repeats[chosen] = np.inf
        # the least shown of the largest attribute, then of all, then the largest cell
        best = int(np.lexsort((-sizes, repeats, shown[largest][found[:, largest]] + (repeats == np.inf) * limit))[0])
        chosen.append(best)
        for column, times in enumerate(shown):
            times[found[best, column]] += 1
    chosen.sort(key=lambda index: (found[index][largest], *found[index]))
    return [row_of(dataset, found[index]) for index in chosen]


def row_of(dataset: Dataset, labels: npt.NDArray[np.int64]) -> Row:
    pairs = list(zip(dataset.attributes, labels, strict=True))
    name = " ".join(attribute.categories[label] for attribute, label in pairs)
    blocks = [np.eye(len(attribute.categories), dtype=np.float32)[label] for attribute, label in pairs]
    return Row(name, np.concatenate(blocks))


def draw_sheet(rows: Sequence[Row], columns: int, draw: Callable[[int, Row], Pixels]) -> Image.Image:
    """A labelled sheet; `draw(index, row)` gives a row's images (columns, H, H, 3 or 4)."""
    strips = [draw(index, row) for index, row in enumerate(rows)]
    size = strips[0].shape[1]
    factor = max(1, TILE // size)
    tile, margin = size * factor + 2, LABEL_WIDTH if any(row.name for row in rows) else 2
    sheet = Image.new("RGB", (margin + columns * tile, len(rows) * tile + 2), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(LABEL_SIZE)
    for index, (row, strip) in enumerate(zip(rows, strips, strict=True)):
        for line, word in enumerate(wrapped(row.name)):
            pen.text((4, index * tile + 6 + line * (LABEL_SIZE + 3)), word, fill="black", font=font)
        for column in range(columns):
            picture = Image.fromarray(strip[column]).resize((size * factor,) * 2, Image.Resampling.NEAREST)
            place = (margin + column * tile, index * tile + 2)
            if picture.mode == "RGBA":
                sheet.paste(GROUNDS[column % len(GROUNDS)], (*place, place[0] + tile - 2, place[1] + tile - 2))
            sheet.paste(picture, place, picture if picture.mode == "RGBA" else None)
    return sheet


def wrapped(name: str, width: int = 24, lines: int = 4) -> list[str]:
    """The words of a name in lines of at most `width` letters, as many lines as a tile has room for."""
    out = [""]
    for word in name.split():
        if out[-1] and len(out[-1]) + 1 + len(word) > width:
            out.append("")
        out[-1] = f"{out[-1]} {word}".strip()[:width]
    return out[:lines]


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


PANELS = {
    "losses": ("discriminator", "generator"),
    "mean logits of the discriminator": ("real", "fake"),
    "augmentation: probability and overfitting (r_t)": ("augment", "overfitting"),
    "norms of the gradients": ("discriminator_norm", "generator_norm"),
    "the figure of the best checkpoint": ("random_frechet",),
}


def curves(metrics: Sequence[dict[str, float]], path: Path) -> None:
    """The figures against images seen, as a PNG; those that no line has are left out."""
    panels = {title: names for title, names in PANELS.items() if any(name in row for row in metrics for name in names)}
    figure = Figure(figsize=(9, 2.6 * len(panels)), layout="constrained")
    for position, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(len(panels), 1, position + 1)
        for name in names:
            points = [(row["images"] / 1000, row[name]) for row in metrics if name in row]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, linewidth=0.8)
        axes.set_title(title)
        axes.set_xlabel("thousand images")
        axes.legend()
        axes.grid(alpha=0.3)
    scratch = path.with_suffix(".tmp")
    figure.savefig(scratch, format="png", dpi=90)
    scratch.replace(path)
