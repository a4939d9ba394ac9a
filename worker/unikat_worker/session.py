"""A model in ONNX Runtime: checked against its manifest, warmed, and drawn in batches of which bits do not depend."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

import numpy as np
import onnxruntime as ort

from unikat.bundle import Bundle, BundleError, condition_size, key_of
from unikat.conditions import Schema
from unikat.sampling import latents
from unikat.v1.model_pb2 import Model
from unikat_worker.buckets import Buckets, Feeds, Pixels, Run, Trial, candidate_sizes, take, timed, try_sizes
from unikat_worker.device import CPU, Device

LATENT: Final = "latent"
CONDITION: Final = "condition"
TRUNCATION: Final = "truncation"
IMAGE: Final = "image"

_PROBES = 8  # images that batch sizes are compared on
_WIDE_GAIN = 0.85  # more threads for one image must pay: less than this share of the time with one

_CHECKER: Final = Device(CPU, threads=1, lanes=1, processor="")

log = logging.getLogger(__name__)


class Session:
    """A loaded model. `draw` may be called by several threads."""

    def __init__(self, bundle: Bundle, device: Device, max_batch: int, budget: float) -> None:
        """Load, check and warm. `budget`: seconds beyond which no batch will be cut.

        Raises BundleError for a graph that cannot be loaded or is not what the manifest says.
        """
        self.model = bundle.model
        self.schema = Schema(bundle.model)
        self.bytes = bundle.graph.stat().st_size
        graph = _open(bundle, device, threads=device.threads if device.is_cuda else 1)
        _check_graph(graph, bundle)
        self._run: Run = _BoundRun(graph, bundle.model) if device.is_cuda else _plain_run(graph)
        self._wide: Run | None = None
        probes = _probes(bundle.model, self.schema)
        trial = try_sizes(self._run, probes, candidate_sizes(max_batch), budget)
        self.buckets = _choose_buckets(trial, device, key_of(bundle.model))
        if not device.is_cuda and device.threads > 1:
            self._try_wide(_plain_run(_open(bundle, device, device.threads)), probes)

    def draw(self, feeds: Feeds, alone: bool = False) -> Pixels:
        """Draw rows: the graph's inputs to float32 of shape (n, width); gives uint8 of shape (n, height, width, 3).

        `alone`: nothing else is being drawn, so that one image may take all cores.
        """
        count = len(feeds[LATENT])
        if alone and count == 1 and self._wide is not None:
            return self._wide(feeds)
        parts = self.buckets.parts(count)
        if len(parts) == 1 and parts[0].size == count:
            return self._run_timed(feeds, count)
        drawn = []
        for part in parts:
            # Padding repeats the last row: any row would do, no row depends on another.
            rows = np.minimum(np.arange(part.start, part.start + part.size), part.stop - 1)
            batch = self._run_timed(take(feeds, rows), part.size)
            drawn.append(batch[: part.stop - part.start])
        return np.concatenate(drawn)

    def _run_timed(self, feeds: Feeds, size: int) -> Pixels:
        begun = time.perf_counter()
        pixels = self._run(feeds)
        self.buckets.observe(size, time.perf_counter() - begun)
        return pixels

    def _try_wide(self, wide: Run, probes: Feeds) -> None:
        one = {name: values[:1] for name, values in probes.items()}
        _, narrow_seconds = timed(self._run, one, repeats=8)
        _, wide_seconds = timed(wide, one, repeats=8)
        rows = [{name: values[row : row + 1] for name, values in probes.items()} for row in range(_PROBES)]
        same = all(np.array_equal(wide(row), self._run(row)) for row in rows)
        if same and wide_seconds < _WIDE_GAIN * narrow_seconds:
            self._wide = wide
            self.bytes *= 2
        log.info(
            "%s: one image takes %.2f ms on one thread, %.2f ms on all: %s",
            key_of(self.model), narrow_seconds * 1e3, wide_seconds * 1e3,
            "all are used while nothing else is drawn" if self._wide else "one is used" if same else "bits differ",
        )  # fmt: skip


def check_bundle(bundle: Bundle) -> None:
    """Raise BundleError for a graph that cannot be loaded or is not what the manifest says. No GPU, no warming."""
    _check_graph(_open(bundle, _CHECKER, threads=1), bundle)


def _open(bundle: Bundle, device: Device, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: the rest is noise about optimisations
    # Lanes, encoders and other processes want the cores that a spinning thread would burn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(bundle.graph), options, providers=device.providers())
    except Exception as error:  # ONNX Runtime's own types share no base but Exception
        raise BundleError(f"{bundle.graph}: cannot be loaded: {error}") from error


def _check_graph(graph: ort.InferenceSession, bundle: Bundle) -> None:
    model = bundle.model
    condition = condition_size(model)
    floats = {LATENT: model.latent_size, TRUNCATION: 1} | ({CONDITION: condition} if condition else {})
    found = {value.name: (value.type, value.shape[1:]) for value in graph.get_inputs()}
    expected = {name: ("tensor(float)", [width]) for name, width in floats.items()}
    for name in sorted(found.keys() | expected.keys()):
        if name not in expected:
            raise BundleError(f"{bundle.graph}: unknown input {name!r}; expected {', '.join(sorted(expected))}")
        if found.get(name) != expected[name]:
            raise BundleError(f"{bundle.graph}: input {name!r} is {found.get(name)}, expected {expected[name]}")
    outputs = {value.name: (value.type, value.shape[1:]) for value in graph.get_outputs()}
    image = ("tensor(uint8)", [model.height, model.width, 3])
    if outputs != {IMAGE: image}:
        raise BundleError(f"{bundle.graph}: outputs are {outputs}, expected {IMAGE!r} as {image}")
    for value in (*graph.get_inputs(), *graph.get_outputs()):
        if isinstance(value.shape[0], int):
            raise BundleError(f"{bundle.graph}: {value.name!r} has a fixed batch of {value.shape[0]}; export it free")


def _plain_run(graph: ort.InferenceSession) -> Run:
    def run(feeds: Feeds) -> Pixels:
        pixels: Pixels = graph.run([IMAGE], dict(feeds))[0]
        return pixels

    return run


class _BoundRun:
    """Runs on CUDA with the output of every batch size allocated once, one batch at a time."""

    def __init__(self, graph: ort.InferenceSession, model: Model) -> None:
        self._graph = graph
        self._shape = (model.height, model.width, 3)
        self._outputs: dict[int, ort.OrtValue] = {}
        self._lock = threading.Lock()

    def __call__(self, feeds: Feeds) -> Pixels:
        size = len(feeds[LATENT])
        with self._lock:
            if size not in self._outputs:
                self._outputs[size] = ort.OrtValue.ortvalue_from_shape_and_type(
                    [size, *self._shape], np.uint8, "cuda", 0
                )
            binding = self._graph.io_binding()
            for name, values in feeds.items():
                binding.bind_cpu_input(name, np.ascontiguousarray(values))
            binding.bind_ortvalue_output(IMAGE, self._outputs[size])
            self._graph.run_with_iobinding(binding)
            pixels: Pixels = self._outputs[size].numpy()  # a copy on the host: the next batch may overwrite its source
            return pixels


def _probes(model: Model, schema: Schema) -> Feeds:
    rows = range(_PROBES)
    feeds = {
        LATENT: latents(0, rows, model.latent_size),
        TRUNCATION: np.full((_PROBES, 1), model.default_truncation, dtype=np.float32),
    }
    if schema.size:
        feeds[CONDITION] = schema.vectors(schema.complete({}, 0, rows))
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
