"""`python -m benchmarks reference`: two bundles with random weights to measure with, the same bytes on every machine.

`reference-64` costs a processor core of the machine in benchmarks/README.md about 5 ms an image, `reference-128` about
20 ms. Their graph is that of a trained bundle: latent, condition and truncation in, uint8 (n, height, width, 3) out.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from unikat.bundle import GRAPH, SAMPLES, Bundle, read_bundle, write_bundle
from unikat.v1.model_pb2 import Attribute, Category, Combination, Model

LATENT = 64
ATTRIBUTES, CATEGORIES = 3, 9
CONDITION = ATTRIBUTES * CATEGORIES
OPSET = 20


@dataclass(frozen=True)
class Size:
    """A reference model: channels at 4 × 4 px, 8 × 8 px and so on up to the image."""

    name: str
    channels: tuple[int, ...]

    @property
    def pixels(self) -> int:
        """Edge of the image."""
        return 4 << len(self.channels) - 1


SIZES = (Size("reference-64", (96, 96, 88, 56, 24)), Size("reference-128", (128, 128, 112, 72, 48, 24)))


@dataclass
class Graph:
    """A graph under construction; every method adds nodes and returns the name of the new value."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401  (ONNX attributes are of any type)
        """One operator."""
        name = f"{kind.lower()}-{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: npt.NDArray[Any]) -> str:
        """A tensor in the file."""
        name = f"constant-{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, *shape: int, gain: float = 2.0) -> str:
        """Normal weights with variance gain / fan-in (He initialisation)."""
        deviation = (gain / np.prod(shape[1:])) ** 0.5
        return self.constant((deviation * self.random.standard_normal(shape)).astype(np.float32))

    def convolve(self, value: str, inputs: int, outputs: int) -> str:
        """3 × 3 convolution and leaky ReLU: (n, inputs, h, w) to (n, outputs, h, w)."""
        value = self.node("Conv", value, self.weights(outputs, inputs, 3, 3), pads=[1, 1, 1, 1])
        return self.node("LeakyRelu", value, alpha=0.2)


def build(size: Size) -> onnx.ModelProto:
    """The graph of a reference model."""
    graph = Graph(np.random.Generator(np.random.Philox(size.pixels)))
    latent = graph.node("Mul", "latent", "truncation")  # (n, 64)
    value = graph.node("Concat", latent, "condition", axis=1)  # (n, 64 + 27)
    first = size.channels[0]
    value = graph.node("Gemm", value, graph.weights(first * 16, LATENT + CONDITION), transB=1)
    value = graph.node("Reshape", value, graph.constant(np.array([0, first, 4, 4], np.int64)))  # (n, c, 4, 4)
    before = first
    for level, channels in enumerate(size.channels):
        if level:
            scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
            value = graph.node("Resize", value, "", scales, mode="nearest")  # (n, c, 2h, 2w)
        value = graph.convolve(value, before, channels)
        value = graph.convolve(value, channels, channels)
        before = channels
    value = graph.node("Conv", value, graph.weights(3, before, 1, 1, gain=0.25))  # (n, 3, h, w)
    value = graph.node("Add", graph.node("Mul", graph.node("Tanh", value), _half(graph)), _half(graph))
    value = graph.node("Transpose", value, perm=[0, 2, 3, 1])
    pixels = graph.node("Cast", value, to=TensorProto.UINT8)
    graph.nodes.append(helper.make_node("Identity", [pixels], ["image"], name="image"))
    return _model(graph, size)


def _half(graph: Graph) -> str:
    return graph.constant(np.array(127.5, np.float32))


def _model(graph: Graph, size: Size) -> onnx.ModelProto:
    widths = {"latent": LATENT, "condition": CONDITION, "truncation": 1}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", w]) for name, w in widths.items()]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", size.pixels, size.pixels, 3])
    parts = helper.make_graph(graph.nodes, size.name, inputs, [image], graph.constants)
    model = helper.make_model(parts, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def describe(size: Size) -> Model:
    """What `model.json` says."""
    categories = [Category(name=f"c{number}", count=1) for number in range(CATEGORIES)]
    return Model(
        name=size.name,
        version=1,
        description="Random weights, to measure speed with.",
        width=size.pixels,
        height=size.pixels,
        latent_size=LATENT,
        attributes=[Attribute(name=f"a{number}", categories=categories) for number in range(ATTRIBUTES)],
        combinations=[Combination(categories=[number] * ATTRIBUTES, count=1) for number in range(CATEGORIES)],
        default_truncation=1.0,
        licence="Apache-2.0",
    )


def reference_bundles(folder: Path) -> list[Bundle]:
    """The reference models below `folder`, written where they are missing."""
    bundles = []
    for size in SIZES:
        path = folder / size.name / "1"
        if not path.exists():
            sheet = io.BytesIO()
            Image.new("RGB", (size.pixels, size.pixels)).save(sheet, "PNG")
            card = f"# {size.name}\n\nRandom weights, to measure speed with.\n".encode()
            graph = build(size).SerializeToString(deterministic=True)
            write_bundle(path, describe(size), {GRAPH: graph, SAMPLES: sheet.getvalue(), "MODEL_CARD.md": card})
        bundles.append(read_bundle(path))
    return bundles
