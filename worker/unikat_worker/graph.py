"""A bundle's graph in ONNX Runtime: verified, opened, compared with the manifest, run."""

from __future__ import annotations

import hashlib
import threading
from typing import Final

import numpy as np
import onnxruntime as ort

from unikat.bundle import GRAPH, MANIFEST, RGBA, Bundle, BundleError, condition_size, read_sized
from unikat.onnx_file import check_self_contained
from unikat.v1.model_pb2 import Model
from unikat_worker.buckets import Feeds, Pixels, Run
from unikat_worker.device import CPU, Device

LATENT: Final = "latent"
CONDITION: Final = "condition"
TRUNCATION: Final = "truncation"
BACKGROUND: Final = "background"
IMAGE: Final = "image"


def image_shape(model: Model) -> tuple[int, int, int]:
    """Height, width and channels of an image."""
    return model.height, model.width, model.channels or 3


def check_bundle(bundle: Bundle) -> None:
    """Raise BundleError for a graph that cannot be loaded or is not what the manifest says.

    It is opened on the CPU without optimising: 1 to 7 ms for graphs of 3 to 8 MB, 5 to 30 with all optimisations.
    """
    options = session_options(threads=1)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    _check_graph(_open(bundle, options, [CPU]), bundle)


def open_graph(bundle: Bundle, device: Device, threads: int) -> ort.InferenceSession:
    """A session that draws. Raises BundleError for a graph that cannot be loaded or is not what the manifest says."""
    graph = _open(bundle, session_options(threads), device.providers())
    _check_graph(graph, bundle)
    return graph


def plain_run(graph: ort.InferenceSession) -> Run:
    """Runs on the CPU. May be called by several threads at once."""

    def run(feeds: Feeds) -> Pixels:
        pixels: Pixels = graph.run([IMAGE], dict(feeds))[0]
        return pixels

    return run


class BoundRun:
    """Runs on CUDA with the output of every batch size allocated once, one batch at a time."""

    def __init__(self, graph: ort.InferenceSession, model: Model) -> None:
        self._graph = graph
        self._shape = image_shape(model)
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


def session_options(threads: int) -> ort.SessionOptions:
    """For a session on so many threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors: the rest is noise about optimisations
    # Inference threads, encoders and other processes want the cores that a spinning thread would burn.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Of a file that begins like one of its own format, ONNX Runtime would read that, which nobody has looked through.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def _open(
    bundle: Bundle, options: ort.SessionOptions, providers: list[str | tuple[str, dict[str, str]]]
) -> ort.InferenceSession:
    content = _verified_content(bundle)
    try:
        return ort.InferenceSession(content, options, providers=providers)
    except Exception as error:  # ONNX Runtime's own types share no base but Exception
        raise BundleError(f"{bundle.graph}: cannot be loaded: {error}") from error


def _verified_content(bundle: Bundle) -> bytes:
    """The bytes that the digest was taken of are those that are parsed: the file may change in between."""
    expected = next(file for file in bundle.model.files if file.path == GRAPH)
    try:
        content = read_sized(bundle.graph, expected.size)
        found = "sha256:" + hashlib.sha256(content).hexdigest()
        if found != expected.digest:
            raise ValueError(f"digest is {found}, but {MANIFEST} says {expected.digest}; restore the file")
        check_self_contained(content)
    except ValueError as error:
        raise BundleError(f"{bundle.graph}: {error}") from error
    return content


def _check_graph(graph: ort.InferenceSession, bundle: Bundle) -> None:
    model = bundle.model
    condition = condition_size(model)
    floats = {LATENT: model.latent_size, TRUNCATION: 1}
    if condition:
        floats[CONDITION] = condition
    if model.channels == RGBA:
        floats[BACKGROUND] = RGBA
    found = {value.name: (value.type, value.shape[1:]) for value in graph.get_inputs()}
    expected = {name: ("tensor(float)", [width]) for name, width in floats.items()}
    for name in sorted(found.keys() | expected.keys()):
        if name not in expected:
            raise BundleError(f"{bundle.graph}: unknown input {name!r}; expected {', '.join(sorted(expected))}")
        if found.get(name) != expected[name]:
            raise BundleError(f"{bundle.graph}: input {name!r} is {found.get(name)}, expected {expected[name]}")
    outputs = {value.name: (value.type, value.shape[1:]) for value in graph.get_outputs()}
    image = ("tensor(uint8)", [*image_shape(model)])
    if outputs != {IMAGE: image}:
        raise BundleError(f"{bundle.graph}: outputs are {outputs}, expected {IMAGE!r} as {image}")
    for value in (*graph.get_inputs(), *graph.get_outputs()):
        if isinstance(value.shape[0], int):
            raise BundleError(f"{bundle.graph}: {value.name!r} has a fixed batch of {value.shape[0]}; export it free")
