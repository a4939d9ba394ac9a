"""A bundle whose graph is small and real: two matrix products, drawn by ONNX Runtime like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper

from unikat.bundle import CARD, GRAPH, SAMPLES, Bundle, write_bundle
from unikat.directions import FILE as DIRECTIONS
from unikat.v1.model_pb2 import Attribute, Category, Combination, Model

STYLES = ("ink", "oil", "chalk")
SUBJECTS = ("sea", "hill")
LATENT = 8


def tiny_model(
    name: str = "tiny", version: int = 1, size: int = 16, conditional: bool = True, alpha: bool = False
) -> Model:
    """Metadata of a model with two attributes, one of whose combinations (chalk, hill) was never seen."""
    model = Model(
        name=name, version=version, description="For tests.", width=size, height=size, latent_size=LATENT,
        default_truncation=0.8, licence="CC0-1.0", format_version=1, channels=4 if alpha else 0,
    )  # fmt: skip
    if conditional:
        for attribute, names in (("style", STYLES), ("subject", SUBJECTS)):
            categories = [Category(name=category, count=10) for category in names]
            model.attributes.append(Attribute(name=attribute, description="For tests.", categories=categories))
        for cell, count in (((0, 0), 6), ((0, 1), 4), ((1, 0), 5), ((1, 1), 5), ((2, 0), 10)):
            model.combinations.append(Combination(categories=cell, count=count))
    return model


def tiny_graph(size: int = 16, conditional: bool = True, work: int = 0, alpha: bool = False) -> bytes:
    """ONNX bytes: sigmoid of a linear map of latent and condition; `work` adds that many 256 x 256 products.

    With `alpha` the picture is drawn over the input `background`; alpha is 0 or 1 in most of its pixels.
    """
    planes = 4 if alpha else 3
    rng = np.random.default_rng(7)
    inputs = {"latent": LATENT} | ({"condition": len(STYLES) + len(SUBJECTS)} if conditional else {})
    width = sum(inputs.values())
    weights = {"w0": rng.normal(0, 0.8, (width, 256)), "w1": rng.normal(0, 0.3, (256, size * size * planes))}
    if work:
        weights["loop"] = rng.normal(0, 0.1, (256, 256))  # a gain above 1: images differ however deep
    nodes = [
        helper.make_node("Mul", ["latent", "truncation"], ["z"]),
        helper.make_node("Concat", ["z", "condition"] if conditional else ["z"], ["zc"], axis=1),
        helper.make_node("MatMul", ["zc", "w0"], ["h0"]),
        helper.make_node("Tanh", ["h0"], ["x0"]),
    ]
    for i in range(work):
        nodes += [
            helper.make_node("MatMul", [f"x{i}", "loop"], [f"h{i + 1}"]),
            helper.make_node("Tanh", [f"h{i + 1}"], [f"x{i + 1}"]),
        ]
    nodes += [
        helper.make_node("MatMul", [f"x{work}", "w1"], ["y"]),
        helper.make_node("Sigmoid", ["y"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["drawn"]),
        *(_over() if alpha else [helper.make_node("Identity", ["drawn"], ["unit"])]),
        helper.make_node("Mul", ["unit", "scale"], ["grey"]),
        helper.make_node("Round", ["grey"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["image"], to=TensorProto.UINT8),
    ]
    constants = [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()]
    constants += [numpy_helper.from_array(np.array(255.0, np.float32), "scale")]
    constants += [numpy_helper.from_array(np.array([-1, size, size, planes], np.int64), "shape")]
    if alpha:
        constants += [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in _OVER.items()]
        constants += [
            numpy_helper.from_array(np.array([3, 1], np.int64), "colour_alpha"),
            numpy_helper.from_array(np.array([-1, 1, 1, 4], np.int64), "pixel"),
        ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", w])
            for n, w in (*inputs.items(), ("truncation", 1), *([("background", 4)] if alpha else []))
        ],
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, planes])],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


_OVER: Final = {"zero": 0.0, "one": 1.0, "half": 0.5, "steep": 8.0, "small": 1e-6}


def _over() -> list[NodeProto]:
    """The drawing over the background, as docs/training.md says for exported graphs."""
    node = helper.make_node
    return [
        node("Split", ["drawn", "colour_alpha"], ["colour", "soft"], axis=3),
        node("Sub", ["soft", "half"], ["centred"]),
        node("Mul", ["centred", "steep"], ["steeper"]),
        node("Add", ["steeper", "half"], ["moved"]),
        node("Clip", ["moved", "zero", "one"], ["alpha"]),
        node("Reshape", ["background", "pixel"], ["behind"]),
        node("Split", ["behind", "colour_alpha"], ["behind_colour", "behind_alpha"], axis=3),
        node("Sub", ["one", "alpha"], ["through"]),
        node("Mul", ["through", "behind_alpha"], ["rest"]),
        node("Add", ["alpha", "rest"], ["whole"]),
        node("Mul", ["alpha", "colour"], ["front"]),
        node("Mul", ["rest", "behind_colour"], ["back"]),
        node("Add", ["front", "back"], ["sum"]),
        node("Max", ["whole", "small"], ["divisor"]),
        node("Div", ["sum", "divisor"], ["mixed"]),
        node("Concat", ["mixed", "whole"], ["unit"], axis=3),
    ]


def write_tiny_bundle(
    models: Path,
    name: str = "tiny",
    version: int = 1,
    *,
    conditional: bool = True,
    work: int = 0,
    alpha: bool = False,
    size: int = 16,
    directions: int = 0,
) -> Bundle:
    """Write the bundle to `models/<name>/<version>`. `work` makes it slower: 1,000 are about 2 ms an image, batched.

    `directions`: so many, each along one number of the latent.
    """
    files: dict[str, Path | bytes] = {
        GRAPH: tiny_graph(size, conditional=conditional, work=work, alpha=alpha),
        SAMPLES: b"\x89PNG\r\n\x1a\n",
        CARD: b"# For tests\n",
    }
    if directions:
        rows = [{"strength": 10.0, "vector": vector.tolist()} for vector in np.eye(LATENT)[:directions]]
        files[DIRECTIONS] = json.dumps({"format": 1, "directions": rows}).encode()
    model = tiny_model(name, version, size, conditional=conditional, alpha=alpha)
    return write_bundle(models / name / str(version), model, files)
