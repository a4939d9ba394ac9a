"""What somebody likes, learnt from pairs: a linear Bradley–Terry model on frozen features of pictures.

Of two pictures the one with the higher score is liked with probability 1 / (1 + exp(-difference)); the score is a
weighted sum of the features. Features and weights are whole numbers, so a score is the same on every machine, and with
it which of several drawings is proposed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from unikat.originality.descriptor import cells, planes

Pixels = npt.NDArray[np.uint8]
Features = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

GREY: Final = 8  # cells a side of brightness
COLOUR: Final = 8  # of each colour difference
EDGES: Final = 4  # of how much neighbouring pixels differ
VIVID: Final = 2  # of how far colours are from grey
SIZE: Final = GREY**2 + 2 * COLOUR**2 + EDGES**2 + 2 * VIVID**2
NEUTRAL: Final = 128  # a colour difference of none
LEVELS: Final = 64.0  # grey levels of a feature that the prior takes for one
PRIOR: Final = 0.15  # standard deviation of a weight, each `LEVELS`, before anybody voted
UNIT: Final = 2.0**-24  # of a stored weight, each grey level
STEPS: Final = 30  # of Newton's method, at most


def features(pixels: Pixels) -> Features:
    """(N, SIZE) of pictures (N, H, W, 3 or 4); what is not opaque is seen on white. The same on every machine."""
    grey, *colours = planes(pixels)
    across, down = np.abs(np.diff(grey, axis=2)), np.abs(np.diff(grey, axis=1))
    edges = np.pad(across, ((0, 0), (0, 0), (0, 1))) + np.pad(down, ((0, 0), (0, 1), (0, 0)))
    parts = [cells(grey, GREY), *(cells(each, COLOUR) for each in colours), cells(edges, EDGES)]
    parts += [cells(np.abs(each - NEUTRAL), VIVID) for each in colours]
    return np.concatenate([part.reshape(len(pixels), -1) for part in parts], axis=1)


@dataclass(frozen=True)
class Taste:
    """Weights (SIZE,), in units of `UNIT` a grey level."""

    weights: Whole

    @classmethod
    def learn(cls, liked: Features, other: Features) -> Taste:
        """From V pairs: features (V, SIZE) of what was liked and of what was not; with none, every score is 0.

        Penalised maximum likelihood by Newton's method. Raises ValueError for shapes that differ.
        """
        if liked.shape != other.shape or liked.shape[1:] != (SIZE,):
            raise ValueError(f"liked, other: must be (V, {SIZE}) both, not {liked.shape} and {other.shape}")
        apart = (liked - other).astype(np.float64) / LEVELS  # (V, SIZE)
        weights = np.zeros(SIZE)
        for _ in range(STEPS):
            lost = 1 / (1 + np.exp(apart @ weights))
            gradient = weights / PRIOR**2 - apart.T @ lost
            hessian = np.identity(SIZE) / PRIOR**2 + (apart * (lost * (1 - lost))[:, None]).T @ apart
            step = np.linalg.solve(hessian, gradient)
            weights = weights - step
            if np.abs(step).max() < 1e-9:
                break
        return cls(np.rint(weights / LEVELS / UNIT).astype(np.int64))

    def scores(self, found: Features) -> Whole:
        """(...,) of features (..., SIZE), in units of `UNIT`; exact."""
        scores: Whole = found.astype(np.int64) @ self.weights
        return scores

    def preferred(self, found: Features, other: Features) -> Floats:
        """(...,) how likely pictures are liked rather than others, by features (..., SIZE) of both."""
        apart = (self.scores(found) - self.scores(other)) * UNIT
        likely: Floats = 1 / (1 + np.exp(-apart))
        return likely

    @property
    def digest(self) -> str:
        """ "sha256:<hex>" of the weights, as little-endian 64-bit numbers."""
        return "sha256:" + hashlib.sha256(self.weights.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True)
class Chosen:
    """Which of a wall's candidates are shown, and what that costs.

    A place of the wall has n candidates of its own, so what is chosen for one place depends on no other one.
    """

    places: Whole  # (K,): of each place the number of its candidate, 0 to n - 1
    preferred: float  # how likely, by the taste, a work of the wall is liked rather than the place's first candidate
    variety: float  # mean distance between two works of the wall, in grey levels of the features
    plain_variety: float  # of a wall without a taste: the mean over the walls of the first, second, … candidates


def choose(taste: Taste, found: Features) -> Chosen:
    """Best of n: for each of K places the candidate of the highest score, the first of equal ones.

    `found`: features (K, n, SIZE).
    """
    places = taste.scores(found).argmax(axis=1)
    wall = found[np.arange(len(found)), places]
    plain = [variety(found[:, number]) for number in range(found.shape[1])]
    return Chosen(places, float(taste.preferred(wall, found[:, 0]).mean()), variety(wall), float(np.mean(plain)))


def variety(found: Features) -> float:
    """Mean distance between two of K works with features (K, SIZE), as a root of mean squares; 0 of one work."""
    count = len(found)
    if count < 2:
        return 0.0
    wide = found.astype(np.float64)
    squares = ((wide[:, None] - wide[None]) ** 2).mean(axis=2)
    return float(np.sqrt(squares).sum() / (count * (count - 1)))
