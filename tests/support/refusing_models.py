"""Bundles whose drawings are refused: a generator that has memorised, and one of which some drawings are copies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from tests.support.tiny_model import LATENT, tiny_graph, tiny_model
from unikat.bundle import CARD, GRAPH, ORIGINALITY, SAMPLES, Bundle, write_bundle
from unikat.conditions import Schema
from unikat.originality import Calibration, Index
from unikat.originality.descriptor import describe
from unikat.sampling import latents

Pixels = npt.NDArray[np.uint8]

LIMIT = 2.0  # of a distance, in grey levels: a copy has 0
TRUNCATION = 0.8


def write_memoriser(models: Path, pictures: int = 20, side: int = 64, name: str = "memory") -> Bundle:
    """A generator that can draw its training pictures, and nothing else: the latent says which."""
    rng = np.random.default_rng(20)
    blocks = rng.integers(0, 256, (pictures, 8, 8, 3), dtype=np.uint8)
    memorised = blocks.repeat(side // 8, axis=1).repeat(side // 8, axis=2)
    model = tiny_model(name, size=side, conditional=False)
    return write_bundle(models / name / "1", model, _files(_recalling(memorised), _index(memorised)))


def write_copier(models: Path, copied: Sequence[int], seed: int, side: int = 64, *, alpha: bool = False) -> Bundle:
    """The tiny model, which happens to have been trained on its own first drawings of some indexes of a seed."""
    name = "stickers" if alpha else "copier"
    graph = tiny_graph(side, alpha=alpha)
    files = _files(graph, _index(drawn(graph, seed, copied, side, alpha=alpha), has_alpha=alpha))
    return write_bundle(models / name / "1", tiny_model(name, size=side, alpha=alpha), files)


def drawn(graph: bytes, seed: int, indexes: Sequence[int], side: int, *, alpha: bool = False) -> Pixels:
    """First attempts of the tiny model without conditions, on white, drawn without any of our programs."""
    schema = Schema(tiny_model(size=side))
    feeds = {
        "latent": latents(seed, indexes, LATENT),
        "truncation": np.full((len(indexes), 1), TRUNCATION, np.float32),
        "condition": schema.vectors(schema.complete({}, seed, indexes)),
    }
    if alpha:
        feeds["background"] = np.ones((len(indexes), 4), np.float32)
    found: Pixels = ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(["image"], feeds)[0]
    return found


def _index(pictures: Pixels, *, has_alpha: bool = False) -> bytes:
    distances = np.linspace(LIMIT, 40, 256, dtype=np.float32)[None]
    calibration = Calibration("", {}, distances, np.array([LIMIT], np.float32))
    return Index(describe(pictures), calibration, has_alpha=has_alpha).to_bytes()


def _files(graph: bytes, index: bytes) -> dict[str, Path | bytes]:
    return {GRAPH: graph, SAMPLES: b"\x89PNG\r\n\x1a\n", CARD: b"# For tests\n", ORIGINALITY: index}


def _recalling(pictures: Pixels) -> bytes:
    """ONNX: the picture of whose row the latent points most to."""
    rng = np.random.default_rng(3)
    constants = [
        numpy_helper.from_array(rng.normal(size=(LATENT, len(pictures))).astype(np.float32), "rows"),
        numpy_helper.from_array(pictures, "pictures"),
    ]
    nodes = [
        helper.make_node("Mul", ["latent", "truncation"], ["z"]),
        helper.make_node("MatMul", ["z", "rows"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["which"], axis=1, keepdims=0),
        helper.make_node("Gather", ["pictures", "which"], ["image"], axis=0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name, width in (("latent", LATENT), ("truncation", 1))
    ]
    output = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *pictures.shape[1:]])
    graph = helper.make_graph(nodes, "memory", inputs, [output], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = proto.SerializeToString()
    return data
