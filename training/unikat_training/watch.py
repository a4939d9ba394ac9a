"""Warnings about a run that goes wrong, early enough to stop it."""

import logging
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unikat_training.checkpoint import Progress
from unikat_training.config import Config
from unikat_training.data.dataset import Dataset
from unikat_training.metrics import WARNINGS, append
from unikat_training.pictures import Row
from unikat_training.sampler import SMALL_CELL, small_cells

log = logging.getLogger(__name__)

RECENT = 5  # logged lines that must agree
OVERFITTED = 0.97  # r_t; 1: the discriminator knows every picture
DIVERGED = 20.0  # times the usual size of a loss
USUAL = 10  # logged lines that say what is usual
COLLAPSED = 0.5  # of the diversity of the data
FEW = 4  # real pictures from which diversity can be told
UNTRAINED = 5_000  # images before which a sheet says nothing: everybody's first drawings are alike
IGNORED = 0.1  # of the difference that the latent makes
SIDE = 8  # pixels; diversity is told from thumbnails, so that noise does not count

Pixels = npt.NDArray[np.uint8]
Figures = dict[str, float]


def warnings_of_data(dataset: Dataset, config: Config) -> list[str]:
    """What is wrong before the first step: labels that are not used, cells that are too small."""
    told = []
    for attribute in dataset.attributes:
        if len(attribute.categories) == 1:
            told.append(
                f"every picture has {attribute.name}={attribute.categories[0]}: this label cannot control anything"
            )
    if dataset.attributes and config.condition_dropout == 1:
        told.append("the pictures have labels, but --condition-dropout 1 leaves all of them out")
    small = small_cells(dataset.labels) if dataset.attributes else []
    for labels, size in small[:10]:
        name = ", ".join(a.categories[label] for a, label in zip(dataset.attributes, labels, strict=True))
        told.append(f"only {size} pictures of ({name}): with fewer than {SMALL_CELL} expect copies of them")
    if len(small) > 10:
        told.append(f"… and {len(small) - 10} more cells with fewer than {SMALL_CELL} pictures")
    return told


def warnings_of_figures(rows: Sequence[Figures]) -> dict[str, str]:
    """By kind, what the logged lines say."""
    told = {}
    recent = [row["overfitting"] for row in rows[-RECENT:] if "overfitting" in row]
    if len(recent) == RECENT and min(recent) >= OVERFITTED:
        told["discriminator overfits"] = (
            f"the discriminator tells real from drawn pictures almost always (r_t {recent[-1]:.2f}): "
            "the generator learns little from it; try more --augment, --ada-target 0.6, or more data"
        )
    for name in ("discriminator", "generator"):
        sizes = [abs(row[name]) for row in rows]
        usual = statistics.median(sizes[:-1]) if len(sizes) > USUAL else 0.0
        if len(sizes) > USUAL and sizes[-1] > DIVERGED * max(usual, 1.0):
            told["divergence"] = (
                f"the loss of the {name} is {sizes[-1]:.3g} and was usually {usual:.3g}: training diverges; "
                "begin a new run with a lower --learning-rate or a higher --gamma"
            )
    return told


def warnings_of_sheet(rows: Sequence[Row], strips: Sequence[Pixels], dataset: Dataset) -> dict[str, str]:
    """By kind, what a preview says: `strips` are each row's drawings (n, H, H, 3), with the same latents in all."""
    told = {}
    narrow = []
    for row, strip in zip(rows, strips, strict=True):
        real = of_condition(dataset, row)
        wanted = diversity(real) if len(real) >= FEW else 0.0
        if diversity(strip) < COLLAPSED * wanted:
            narrow.append(row.name or "all pictures")
    if len(narrow) > len(rows) / 4:
        told["collapse"] = (
            f"in {len(narrow)} of {len(rows)} rows of the sheet the drawings differ by less than half of what the "
            f"pictures differ by ({', '.join(narrow[:3])}): mode collapse; try --change --variety 1"
        )
    if dataset.attributes and len(rows) > 1:
        small = [thumbnails(strip) for strip in strips]
        variety = float(np.mean([diversity(strip) for strip in strips]))
        effect = float(np.mean([np.abs(a - b).mean() for a, b in pairwise(small)]))
        if effect < IGNORED * variety:
            told["labels unused"] = (
                "the pictures have labels, but the drawings hardly change with them; try a higher --wrong-label-weight"
            )
    return told


def of_condition(dataset: Dataset, row: Row, limit: int = 64) -> Pixels:
    """Real pictures of a row's condition, at most `limit`."""
    matches = (dataset.one_hots() == row.condition).all(axis=1)
    return dataset.pixels(np.flatnonzero(matches)[:limit])


def thumbnails(images: Pixels) -> npt.NDArray[np.float64]:
    """(n, H, H, 3) -> (n, 8, 8, 3)."""
    count, size = images.shape[:2]
    factor = size // SIDE
    small: npt.NDArray[np.float64] = images.reshape(count, SIDE, factor, SIDE, factor, 3).mean(axis=(2, 4))
    return small


def diversity(images: Pixels) -> float:
    """The mean difference of two different images of a set, in grey levels of their thumbnails."""
    if len(images) < 2:
        return 0.0
    small = thumbnails(images).reshape(len(images), -1)
    apart = np.abs(small[:, None] - small[None]).mean(axis=2)  # (n, n)
    return float(apart.sum() / (len(images) * (len(images) - 1)))


@dataclass
class Watch:
    """Tells each kind of warning once a session, loudly, and keeps all of them in `warnings.jsonl`."""

    run: Path
    told: set[str] = field(default_factory=set)

    def tell(self, warnings: dict[str, str], progress: Progress) -> None:
        for kind, message in warnings.items():
            if kind not in self.told:
                self.told.add(kind)
                log.warning("%s (after %d images): %s", kind.upper(), progress.images, message)
                when = {"step": progress.step, "images": progress.images}
                append(self.run / WARNINGS, {**when, "kind": kind, "message": message})
