"""Batch sizes that give the same bits, found by trying: an image must not depend on what else is in the batch.

ONNX Runtime promises nothing of the kind (microsoft/onnxruntime#9704), so what is used is what was compared here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

_WEIGHT: Final = 0.1  # of the newest batch in the moving average of a size
_GENEROUS: Final = 4  # times the seconds of a batch up to which sizes are tried
_ENOUGH: Final = 0.005  # seconds of measuring
_PREDICTED: Final = 2  # the same, where a size's seconds follow from those before it
_SHARED: Final = 4  # images up to which a batch gains where threads draw side by side, which a trial alone cannot show
_ALMOST: Final = 0.7  # of the largest bucket: then it is used, though it takes somewhat longer than asked for
_LOSS: Final = 0.05  # by which such a batch may be slower an image: a trial is not more exact

Pixels: TypeAlias = npt.NDArray[np.uint8]  # (n, height, width, 3)
Feeds: TypeAlias = Mapping[str, npt.NDArray[np.float32]]  # graph input -> (n, width)
Run: TypeAlias = Callable[[Feeds], Pixels]
Clock: TypeAlias = Callable[[], float]  # seconds


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
    sizes, 5 into 4 and 1 (CPUs: time is proportional to the images). `runs` counts what was drawn of each.
    """

    seconds: dict[int, float]
    pads: bool
    runs: Counter[int] = field(default_factory=Counter)

    def observe(self, size: int, seconds: float) -> None:
        """A batch of `size` took so long: what was measured at the start may have been a busy moment."""
        self.seconds[size] += _WEIGHT * (seconds - self.seconds[size])
        self.runs[size] += 1

    @property
    def sizes(self) -> list[int]:
        """Ascending."""
        return sorted(self.seconds)

    @property
    def seconds_per_image(self) -> float:
        """In the size that is fastest an image."""
        return min(seconds / size for size, seconds in self.seconds.items())

    @property
    def gain(self) -> float:
        """How many times faster an image is in the largest batch than in the smallest."""
        small, large = self.sizes[0], self.sizes[-1]
        return (self.seconds[small] / small) / (self.seconds[large] / large)

    def largest_within(self, seconds: float) -> int:
        """The largest batch that takes at most about so long; at least the smallest."""
        return max([size for size in self.sizes if self.seconds[size] <= seconds], default=self.sizes[0])

    def images_within(self, seconds: float) -> int:
        """Images that are drawn part by part in about so long: where a whole bucket nearly fits, no rest."""
        fitting, whole = seconds / self.seconds_per_image, self.sizes[-1]
        return int(fitting) if fitting < _ALMOST * whole else whole * max(1, round(fitting / whole))

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


def timed(run: Run, feeds: Feeds, repeats: int = 2, clock: Clock = time.perf_counter) -> tuple[Pixels, float]:
    """What `run` draws, and the seconds of the fastest of `repeats`, after a first one that does not count.

    What is fast is repeated for some milliseconds: a single run of 50 µs says little.
    """
    pixels = run(feeds)
    taken: list[float] = []
    until = time.perf_counter() + _ENOUGH
    while len(taken) < repeats or time.perf_counter() < until:
        begun = clock()
        pixels = run(feeds)
        taken.append(clock() - begun)
    return pixels, min(taken)


@dataclass(frozen=True)
class Limits:
    """What bounds a batch: images, seconds, bytes of memory while it is drawn."""

    images: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Trial:
    """What a comparison of batch sizes found: seconds of those worth using, and which agree with a batch of one."""

    seconds: Mapping[int, float]
    agreeing: frozenset[int]


@dataclass(frozen=True)
class Rules:
    """Of a trial.

    `seconds`: of a batch. A size that takes several times longer is the last: no batch will be cut so large, not even
    in quieter moments. `gain`, where it is not 0: the first size that is not faster by that share an image than the
    best one before it is left out, and none is tried that will take too long at their pace. Up to 4 images it has only
    to be as fast: two threads that draw side by side share caches, and then 4 images at a time take 5% less of the
    processor than one (`python -m benchmarks.limit BUNDLE 2 1 4 1.5 isal`, and with 1 for 4), while one alone gains
    1 to 4%. `clock`: of the calling thread where that draws alone, so that what else the machine does is not counted.
    """

    seconds: float
    gain: float = 0.0
    clock: Clock = time.perf_counter


def try_sizes(run: Run, probes: Feeds, sizes: list[int], rules: Rules) -> Trial:
    """Compare batches of the sizes, ascending from 1, with the same rows drawn one by one.

    Batches are made of `probes` (n rows), each in two positions.
    """
    alone = _Alone(run, probes)
    measured: dict[int, float] = {}
    agreeing = set()
    best = float("inf")  # seconds an image
    for size in sizes:
        if rules.gain and measured and size * best > _PREDICTED * rules.seconds:
            break
        pixels, taken = timed(run, alone.batch(size, 0), clock=rules.clock)
        if rules.gain and taken / size > best * (1 - rules.gain if size > _SHARED else 1 + _LOSS):
            break
        measured[size] = taken
        best = min(best, taken / size)
        if size == 1 or (alone.gives(pixels, 0) and alone.gives(run(alone.batch(size, 1)), 1)):
            agreeing.add(size)
        if taken > _GENEROUS * rules.seconds:
            break
    return Trial(measured, frozenset(agreeing))


class _Alone:
    """Probes drawn one by one, each once, when it is compared with."""

    def __init__(self, run: Run, probes: Feeds) -> None:
        self._count = len(next(iter(probes.values())))
        self._run = run
        self._probes = probes
        self._drawn: dict[int, Pixels] = {}

    def batch(self, size: int, first: int) -> Feeds:
        """Probes from number `first` on, from the start again after the last."""
        return take(self._probes, self._rows(size, first))

    def gives(self, pixels: Pixels, first: int) -> bool:
        """Whether that batch, drawn one by one, has these pixels."""
        rows = [int(row) for row in self._rows(len(pixels), first)]
        for row in set(rows) - self._drawn.keys():
            self._drawn[row] = self._run(self.batch(1, row))
        return np.array_equal(pixels, np.concatenate([self._drawn[row] for row in rows]))

    def _rows(self, size: int, first: int) -> npt.NDArray[np.int64]:
        return (first + np.arange(size)) % self._count
