"""Corners of pictures with alpha: how often nothing is drawn there, so that any background shows through exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.extractors import Pixels
from unikat_training.evaluation.subject import Subject

CORNERS = {"top left": (0, 0), "top right": (0, -1), "bottom left": (-1, 0), "bottom right": (-1, -1)}
COUNT = 500  # pictures, drawn and real: to two percent


@dataclass(frozen=True)
class EmptyCorner:
    """Shares of pictures whose alpha is exactly 0 in a corner."""

    corner: str
    drawn: float
    real: float


def measure_corners(subject: Subject, test: Dataset) -> tuple[EmptyCorner, ...]:
    """Of drawings over nothing, at the default truncation, and of test pictures. Empty for a model without alpha."""
    if subject.model.channels != 4 or test.channels != 4:
        return ()
    rows = np.arange(COUNT)
    conditions, nothing = subject.conditions(subject.labels(COUNT)), np.zeros((COUNT, 4), dtype=np.float32)
    drawn = np.concatenate(list(subject.draw(rows, conditions, subject.truncations[-1], nothing)))
    real = test.layers(rows[: len(test)])
    return tuple(EmptyCorner(name, empty(drawn, *place), empty(real, *place)) for name, place in CORNERS.items())


def empty(pictures: Pixels, y: int, x: int) -> float:
    """The share of (N, H, W, 4) whose alpha at (y, x) is 0."""
    return float((pictures[:, y, x, 3] == 0).mean())
