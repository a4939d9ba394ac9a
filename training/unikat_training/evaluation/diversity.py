"""How unlike one another the pictures of a class are, against those of its data: near 0, the class has collapsed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unikat.v1.model_pb2 import Attribute
from unikat_training.evaluation.material import Pictures
from unikat_training.evaluation.neighbours import Floats, distance_blocks
from unikat_training.sampler import cells

MOST = 64  # pictures of a cell that are compared with one another
COLLAPSED = 0.5  # of the real pictures' mean distance


@dataclass(frozen=True)
class Diversity:
    """Of a category; of everything, with empty names, for a plain model."""

    attribute: str
    category: str
    share: float  # mean distance of two generated pictures of the same combination, of that of two real ones
    count: int  # generated pictures

    @property
    def name(self) -> str:
        return f"{self.attribute} = {self.category}" if self.attribute else "all pictures"


def measure_diversity(attributes: list[Attribute], generated: Pictures, real: Pictures) -> tuple[Diversity, ...]:
    """One a category that occurs. Pairs are of the same combination of all attributes: otherwise a generator that
    draws one picture for each would look diverse."""
    spreads = cell_spreads(generated, real)
    if not attributes:
        return tuple(Diversity("", "", ours / theirs, count) for _, ours, theirs, count in spreads)
    out = []
    for column, attribute in enumerate(attributes):
        for position, category in enumerate(attribute.categories):
            own = [spread for spread in spreads if spread[0][column] == position]
            if own:
                weights = np.array([count for *_, count in own], dtype=np.float64)
                ours, theirs = (float(weights @ [spread[i] for spread in own]) for i in (1, 2))
                out.append(Diversity(attribute.name, category.name, ours / theirs, int(weights.sum())))
    return tuple(out)


Spread = tuple[npt.NDArray[np.int64], float, float, int]


def cell_spreads(generated: Pictures, real: Pictures) -> list[Spread]:
    """For each combination with at least two pictures of both kinds: its labels, the mean distance of two generated
    and of two real ones, the number of generated ones."""
    out: list[Spread] = []
    found, membership = cells(generated.labels)
    for index, labels in enumerate(found):
        ours = np.flatnonzero(membership == index)
        theirs = np.flatnonzero((real.labels == labels).all(axis=1))
        if min(len(ours), len(theirs)) < 2:
            continue
        spread = mean_distance(real.main[evenly(theirs)])
        if spread > 0:
            out.append((labels, mean_distance(generated.main[evenly(ours)]), spread, len(ours)))
    return out


def evenly(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """At most `MOST` of them, from the first to the last."""
    chosen: npt.NDArray[np.int64] = rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(np.int64)]
    return chosen


def mean_distance(points: Floats) -> float:
    """Of two different ones of (N, D)."""
    total = sum(float(block.double().sum()) for _, block in distance_blocks(points, points))
    return total / (len(points) * (len(points) - 1))
