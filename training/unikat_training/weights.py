"""Weights of a graph stored as float16, in half the space, and computed with as float32.

Every weight gets a cast to float32 in front of its use, which ONNX Runtime computes once, when it loads the file. What
is rounded is what has two or more dimensions: convolutions, layers, embeddings. Biases and truncation centres are a
hundredth of the file and stay as they are.
"""

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from unikat.sampling import latents
from unikat.v1.model_pb2 import Metric
from unikat_training.errors import TrainingError
from unikat_training.graph import ExportedGenerator, run_torch
from unikat_training.parity import CHECK_SEED, TRUNCATIONS
from unikat_training.session import Floats, open_graph, run_graph

WEIGHTS = ("fp32", "fp16")  # as which they may be stored
LARGEST = float(np.finfo(np.float16).max)  # 65,504
COMPARED = 64  # images, at each truncation
SUFFIX = "_fp16"
FP16_METRIC = "fp16_max_grey_levels"  # only models with such weights have it


def round_weights(exported: ExportedGenerator, path: Path) -> ExportedGenerator:
    """Rewrites the graph that `write_graph` made of `exported`; returns a generator with the weights that it now has.

    Raises TrainingError for a weight that float16 cannot hold.
    """
    rounded = copy.deepcopy(exported)
    parameters = {name: values for name, values in rounded.named_parameters() if values.dim() > 1}
    model = onnx.load(path)
    casts = []
    for stored in model.graph.initializer:
        values = parameters.get(stored.name)
        if values is None or tuple(values.shape) != tuple(stored.dims):
            continue
        full = numpy_helper.to_array(stored)
        half = as_half(stored.name, full)
        # The exporter folds a batch norm's scale into the convolution before it. The scale is the same after rounding,
        # so what rounding does to the product is what it has to do to the weight.
        factor = np.divide(half, full, out=np.ones_like(full), where=full != 0)
        values.data *= torch.from_numpy(factor)
        name = stored.name
        stored.CopyFrom(numpy_helper.from_array(half, name + SUFFIX))
        casts.append(helper.make_node("Cast", [name + SUFFIX], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
    onnx.checker.check_model(path, full_check=True)
    return rounded


def as_half(name: str, values: Floats) -> npt.NDArray[np.float16]:
    worst = float(np.abs(values).max(initial=0))
    if not worst <= LARGEST:  # neither too large nor no number
        raise TrainingError(
            f"--weights fp16: {name} has a value of {worst:g}, and float16 holds at most {LARGEST:g}: "
            "export it with --weights fp32"
        )
    return values.astype(np.float16)


@dataclass(frozen=True)
class Rounding:
    """What rounding its weights changed of a model's images: differences in grey levels, of 255."""

    largest: int
    mean: float

    def metrics(self) -> list[Metric]:
        truncations = " and ".join(f"{psi:g}" for psi in TRUNCATIONS)
        how = (
            "of 255, that rounding the weights makes: the file against torch with the weights of the training, "
            f"{COMPARED} images at each of truncations {truncations}"
        )
        return [
            Metric(name=FP16_METRIC, value=self.largest, description=f"largest difference, {how}"),
            Metric(name="fp16_mean_grey_levels", value=self.mean, description=f"mean difference, {how}"),
        ]


def measure_rounding(exported: ExportedGenerator, path: Path, conditions: Floats) -> Rounding:
    """Of the graph with rounded weights, against `exported`, which has the full ones."""
    latent = latents(CHECK_SEED, range(COMPARED), exported.generator.shape.latent)
    condition = conditions[np.arange(COMPARED) % len(conditions)]  # (B, C)
    session = open_graph(path)
    apart = np.stack(
        [
            np.abs(run_graph(session, latent, condition, psi).astype(int) - run_torch(exported, latent, condition, psi))
            for psi in TRUNCATIONS
        ]
    )
    return Rounding(int(apart.max()), float(apart.mean()))
