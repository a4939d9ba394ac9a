"""Batch sizes that give the same bits, found by trying: an image must not depend on what else is in the batch.

ONNX Runtime promises nothing of the kind (microsoft/onnxruntime#9704), so what is used is what was compared here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

_WEIGHT: Final = 0.1  # of the newest batch in the moving average of a size
_GENEROUS: Final = 4  # times the budget up to which sizes are tried

Pixels: TypeAlias = npt.NDArray[np.uint8]  # (n, height, width, 3)
Feeds: TypeAlias = Mapping[str, npt.NDArray[np.float32]]  # graph input -> (n, width)
Run: TypeAlias = Callable[[Feeds], Pixels]


@dataclass(frozen=True)
class Part:
    """Rows `start` to `stop` of a batch, drawn as a batch of `size` (padded where it is larger)."""

    start: int
    stop: int
    size: int


@dataclass(frozen=True)
class Buckets:
    """Batch sizes in use, with the seconds that each takes: measured at first, then a moving average.

    `pads`: a rest is padded to the next size (GPUs: a larger batch costs little); else it is split into smaller
    sizes, 5 into 4 and 1 (CPUs: time is proportional to the images).
    """

    seconds: dict[int, float]
    pads: bool

    def observe(self, size: int, seconds: float) -> None:
        """A batch of `size` took so long: what was measured at the start may have been a busy moment."""
        self.seconds[size] += _WEIGHT * (seconds - self.seconds[size])

    @property
    def sizes(self) -> list[int]:
        """Ascending."""
        return sorted(self.seconds)

    @property
    def gain(self) -> float:
        """How many times faster an image is in the largest batch than in the smallest."""
        small, large = self.sizes[0], self.sizes[-1]
        return (self.seconds[small] / small) / (self.seconds[large] / large)

    def largest_within(self, seconds: float) -> int:
        """The largest batch that takes at most about so long; at least the smallest."""
        return max([size for size in self.sizes if self.seconds[size] <= seconds], default=self.sizes[0])

    def parts(self, count: int) -> list[Part]:
        """How to draw `count` rows."""
        parts: list[Part] = []
        start = 0
        while start < count:
            left = count - start
            fitting = [size for size in self.sizes if size <= left]
            if self.pads or not fitting:
                size = next((size for size in self.sizes if size >= left), self.sizes[-1])
            else:
                size = fitting[-1]
            parts.append(Part(start, min(start + size, count), size))
            start += size
        return parts


def candidate_sizes(max_batch: int) -> list[int]:
    """1, 2, 4, … and `max_batch`."""
    sizes = [1]
    while sizes[-1] * 2 <= max_batch:
        sizes.append(sizes[-1] * 2)
    return sizes if sizes[-1] == max_batch else [*sizes, max_batch]


def take(feeds: Feeds, rows: npt.NDArray[np.int64]) -> Feeds:
    """The given rows of every input."""
    return {name: values[rows] for name, values in feeds.items()}


def timed(run: Run, feeds: Feeds, repeats: int = 2) -> tuple[Pixels, float]:
    """What `run` draws, and the seconds of the fastest of `repeats`, after a first one that does not count."""
    pixels = run(feeds)
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        pixels = run(feeds)
        best = min(best, time.perf_counter() - begun)
    return pixels, best


@dataclass(frozen=True)
class Trial:
    """What a comparison of batch sizes found: all that were tried, and those that agree with a batch of one."""

    seconds: Mapping[int, float]
    agreeing: frozenset[int]


def try_sizes(run: Run, probes: Feeds, sizes: list[int], budget: float) -> Trial:
    """Draw `probes` (n rows) one by one, then as batches of every size, each probe in every position.

    A size that takes several times longer than `budget` seconds is the last that is tried: no batch will be cut so
    large, not even in quieter moments.
    """
    count = len(next(iter(probes.values())))
    alone = np.concatenate([run(take(probes, np.array([row]))) for row in range(count)])
    seconds: dict[int, float] = {}
    agreeing = set()
    for size in sizes:
        rows = np.arange(size) % count
        pixels, seconds[size] = timed(run, take(probes, rows))
        shifted = (rows + 1) % count
        if np.array_equal(pixels, alone[rows]) and np.array_equal(run(take(probes, shifted)), alone[shifted]):
            agreeing.add(size)
        if seconds[size] > _GENEROUS * budget:
            break
    return Trial(seconds, frozenset(agreeing))
