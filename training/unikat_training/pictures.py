"""Pictures of a run: the conditions that sample sheets show, and the curve of the losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unikat_training.data.dataset import Dataset
from unikat_training.sampler import cells

ROWS = 16
COLUMNS = 12


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


PANELS = {
    "losses": ("discriminator", "generator"),
    "mean logits of the discriminator": ("real", "fake"),
    "augmentation: probability and overfitting (r_t)": ("augment", "overfitting"),
    "norms of the gradients": ("discriminator_norm", "generator_norm"),
    "the figure of the best checkpoint": ("random_frechet",),
}


def curves(metrics: Sequence[dict[str, float]], path: Path) -> None:
    """The figures against images seen, as a PNG; those that no line has are left out."""
    from matplotlib.figure import Figure  # half a second, which a command that draws no curve saves

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
