"""A model in ONNX Runtime, drawn in batches of which bits do not depend."""

from __future__ import annotations

import logging
import math
import threading
import time
from functools import cached_property
from typing import Final

import numpy as np

from unikat.bundle import RGBA, Bundle, BundleError, key_of
from unikat.conditions import Schema
from unikat.directions import read_directions
from unikat.originality import Neighbours
from unikat.sampling import latents
from unikat.v1.model_pb2 import Model
from unikat_worker.buckets import (
    Buckets,
    Clock,
    Feeds,
    Limits,
    Pixels,
    Rules,
    Run,
    Trial,
    candidate_sizes,
    take,
    try_sizes,
)
from unikat_worker.device import Device
from unikat_worker.graph import BACKGROUND, CONDITION, LATENT, TRUNCATION, BoundRun, image_shape, open_graph, plain_run
from unikat_worker.memory import allocated_bytes

__all__ = ["BACKGROUND", "CONDITION", "LATENT", "TRUNCATION", "Session"]

_PROBES: Final = 8  # images that batch sizes are compared on
_CPU_GAIN: Final = 0.03  # a larger batch must be faster by this share an image
_WIDE_GAIN: Final = 0.95  # more threads for one image must pay: less than this share of the time with one
_WIDE_TRIED: Final = 20  # images after which it is known whether they do
_WIDE_PAUSE: Final = 60.0  # seconds until more threads are tried again: it may have been a busy moment
_WIDE_WEIGHT: Final = 0.1  # of the newest image in the moving average of their time

log = logging.getLogger(__name__)


class Session:
    """A loaded model. `draw` may be called by several threads.

    `image_bytes`: of the pixels of one image. `drawing_bytes`: of memory that an image of a batch takes while it is
    drawn, pixels included: measured on the first image on a CPU, the pixels alone on a GPU.
    """

    def __init__(self, bundle: Bundle, device: Device, limits: Limits) -> None:
        """Load, check, and compare batch sizes within `limits`.

        Raises BundleError for a graph that cannot be loaded or is not what the manifest says.
        """
        self.model = bundle.model
        self.schema = Schema(bundle.model)
        self.directions = {direction.name: direction.vector for direction in read_directions(bundle)}
        self.bytes = bundle.graph.stat().st_size
        self.image_bytes = math.prod(image_shape(bundle.model))
        self._bundle = bundle
        self._device = device
        graph = open_graph(bundle, device, threads=device.threads if device.is_cuda else 1)
        self._run: Run = BoundRun(graph, bundle.model) if device.is_cuda else plain_run(graph)
        self._wide: Wide | None = None
        self._widening = threading.Lock()
        self._next_try = float("inf") if device.is_cuda or device.threads == 1 else 0.0  # on the monotonic clock
        probes = _probes(bundle.model, self.schema)
        self.drawing_bytes = self.image_bytes if device.is_cuda else max(self.image_bytes, _growth(self._run, probes))
        most = max(1, min(limits.images, limits.bytes // self.drawing_bytes))
        rules = Rules(limits.seconds) if device.is_cuda else Rules(limits.seconds, _CPU_GAIN, time.thread_time)
        trial = try_sizes(self._run, probes, candidate_sizes(most), rules)
        self.buckets = _choose_buckets(trial, device, key_of(bundle.model))

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """The model's training pictures, to compare drawings with; None where its bundle says nothing of them.

        Raises BundleError where what it says is damaged.
        """
        return Neighbours.of(self._bundle)

    def draw(self, feeds: Feeds, alone: bool = False) -> Pixels:
        """Draw rows: the graph's inputs to float32 of shape (n, width); gives uint8 (n, height, width, 3 or 4).

        `alone`: nothing else is being drawn, so that one image may take all cores.
        """
        count = len(feeds[LATENT])
        if alone and count == 1:
            if self._wide is None:
                self._widen()
            elif self._wide.pays:
                return self._wide.draw(feeds)
        return self._draw_parts(feeds, count)

    def _draw_parts(self, feeds: Feeds, count: int) -> Pixels:
        parts = self.buckets.parts(count)
        if len(parts) == 1 and parts[0].size == count:
            return self._run_timed(feeds, count)
        drawn = []
        for part in parts:
            rows: Feeds = {name: values[part.start : part.stop] for name, values in feeds.items()}
            if part.stop - part.start < part.size:  # padded with the last row: any would do, none depends on another
                rows = take(rows, np.minimum(np.arange(part.size), part.stop - part.start - 1))
            drawn.append(self._run_timed(rows, part.size)[: part.stop - part.start])
        return np.concatenate(drawn)

    def _run_timed(self, feeds: Feeds, size: int) -> Pixels:
        begun = time.perf_counter()
        pixels = self._run(feeds)
        self.buckets.observe(size, time.perf_counter() - begun)
        return pixels

    def _widen(self) -> None:
        """Try a session on all threads, in a thread of its own: this image does not wait for it."""
        if time.monotonic() >= self._next_try and self._widening.acquire(blocking=False):
            threading.Thread(target=self._try_wide, name=f"widen {key_of(self.model)}", daemon=True).start()

    def _try_wide(self) -> None:
        try:
            self._next_try = time.monotonic() + _WIDE_PAUSE
            wide = plain_run(open_graph(self._bundle, self._device, self._device.threads))
            self._compare_wide(wide, _probes(self.model, self.schema))
        except BundleError as error:  # the file was changed: what is loaded goes on
            log.error("%s: one image goes on taking one thread: %s", key_of(self.model), error)
        finally:
            self._widening.release()

    def _compare_wide(self, wide: Run, probes: Feeds) -> None:
        rows = [take(probes, np.array([row])) for row in range(_PROBES)]
        if not all(np.array_equal(wide(row), self._run(row)) for row in rows):
            self._next_try = float("inf")
            log.info("%s: with all threads the bits differ: one image takes one", key_of(self.model))
            return
        self.bytes *= 2
        self._wide = Wide(wide, self.buckets.seconds[1])


class Wide:
    """All threads for one image, as long as they pay: what lone images really take is measured, not a trial of them.

    A trial would have to have the machine for itself, while callers go on asking for images.
    """

    def __init__(self, run: Run, narrow: float, clock: Clock = time.perf_counter) -> None:
        """`narrow`: seconds that an image takes on one thread."""
        self._run = run
        self._clock = clock
        self._narrow = narrow
        self._begin()

    def _begin(self) -> None:
        self._seconds, self._drawn, self._retry_at = self._narrow, 0, 0.0

    @property
    def pays(self) -> bool:
        """Whether the next lone image is to be drawn on all threads."""
        if self._drawn < _WIDE_TRIED or self._seconds < _WIDE_GAIN * self._narrow:
            return True
        if not self._retry_at:
            self._retry_at = time.monotonic() + _WIDE_PAUSE
        elif time.monotonic() > self._retry_at:
            self._begin()
            return True
        return False

    def draw(self, feeds: Feeds) -> Pixels:
        """One image."""
        begun = self._clock()
        pixels = self._run(feeds)
        self._seconds += _WIDE_WEIGHT * (self._clock() - begun - self._seconds)
        self._drawn += 1
        return pixels


def _growth(run: Run, probes: Feeds) -> int:
    """Bytes that the arena takes for one image; too many where other threads allocate meanwhile."""
    one = take(probes, np.array([0]))
    before = allocated_bytes()
    for _ in range(2):  # the second run takes one block for what the first took in pieces (memory pattern)
        run(one)
    return allocated_bytes() - before


def _probes(model: Model, schema: Schema) -> Feeds:
    rows = range(_PROBES)
    feeds = {
        LATENT: latents(0, rows, model.latent_size),
        TRUNCATION: np.full((_PROBES, 1), model.default_truncation, dtype=np.float32),
    }
    if schema.size:
        feeds[CONDITION] = schema.vectors(schema.complete({}, 0, rows))
    if model.channels == RGBA:
        feeds[BACKGROUND] = np.ones((_PROBES, RGBA), dtype=np.float32)
    return feeds


def _choose_buckets(trial: Trial, device: Device, name: str) -> Buckets:
    tried = sorted(trial.seconds)
    agreeing = [size for size in tried if size in trial.agreeing]
    if agreeing != tried and device.is_cuda:
        # One size for everything: the largest that costs a single image at most twice its time.
        fixed = max(size for size in tried if trial.seconds[size] <= 2 * trial.seconds[1])
        log.warning(
            "%s: bits depend on the batch size, so every batch is padded to %d: one image takes %.2f ms, not %.2f",
            name, fixed, trial.seconds[fixed] * 1e3, trial.seconds[1] * 1e3,
        )  # fmt: skip
        agreeing = [fixed]
    elif agreeing != tried:
        best = min(trial.seconds[size] / size for size in tried)
        log.warning(
            "%s: bits depend on the batch size, so of %s only %s are used: up to %.2f ms more an image",
            name, tried, agreeing, (min(trial.seconds[size] / size for size in agreeing) - best) * 1e3,
        )  # fmt: skip
    log.info("%s: ms a batch: %s", name, {size: round(trial.seconds[size] * 1e3, 2) for size in agreeing})
    return Buckets({size: trial.seconds[size] for size in agreeing}, pads=device.is_cuda)
