"""Generators as others export them: like StyleGAN, like DCGAN, and small ones of every other kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

Z = 8


class ModulatedConv(nn.Module):
    """StyleGAN 2's: the style scales the channels, the result is brought back to unit variance; constant noise."""

    noise: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.style = nn.Linear(channels, channels)
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3))
        self.register_buffer("noise", torch.randn(1, 1, size, size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.style(w) + 1  # (B, C)
        scale = ((self.weight[None] * style[:, None, :, None, None]) ** 2).sum(dim=(2, 3, 4)).add(1e-8).rsqrt()
        x = F.conv2d(x * style[:, :, None, None], self.weight, padding=1) * scale[:, :, None, None]
        return F.leaky_relu(x + 0.1 * self.noise, 0.2)


class StyleGan(nn.Module):
    """Latent (B, Z) and class one-hots (B, C) to images (B, 3, 16, 16) somewhat beyond [-1, 1], by psi."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        self.embed = nn.Linear(classes, Z)
        self.mapping = nn.Sequential(nn.Linear(2 * Z, width), nn.LeakyReLU(0.2), nn.Linear(width, width))
        self.register_buffer("average", torch.randn(width) * 0.1)
        self.start = nn.Parameter(torch.randn(1, width, 4, 4))
        self.layers = nn.ModuleList([ModulatedConv(width, size) for size in (4, 8, 16)])
        self.to_rgb = nn.Conv2d(width, 3, 1)

    def forward(self, z: Tensor, c: Tensor, truncation_psi: Tensor) -> Tensor:
        z = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
        w = self.mapping(torch.cat([z, self.embed(c)], dim=1))
        w = self.average + truncation_psi * (w - self.average)
        x = self.start.expand(z.shape[0], -1, -1, -1)
        for index, layer in enumerate(self.layers):
            x = layer(F.interpolate(x, scale_factor=2.0) if index else x, w)
        rgb: Tensor = self.to_rgb(x)
        return rgb


def dcgan() -> nn.Module:
    """Latent (B, Z, 1, 1) to images (B, 3, 16, 16) in [-1, 1]."""
    network = nn.Sequential(
        nn.ConvTranspose2d(Z, 16, 4), nn.BatchNorm2d(16), nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    for each in network:
        if isinstance(each, nn.ConvTranspose2d):
            each.weight.data *= 6  # else everything is grey, without a training
    return network


def export(
    module: nn.Module, inputs: tuple[Tensor, ...], path: Path, names: Sequence[str], dynamic: bool = True
) -> Path:
    """By torch.onnx; a scalar stays one, and without `dynamic` the batch is that of `inputs`."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes = tuple({0: batch} if value.dim() else None for value in inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), inputs, input_names=list(names), output_names=["img"],
            dynamic_shapes=shapes if dynamic else None, dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    program.save(path, external_data=False)
    return path


def write_stylegan(path: Path, classes: int = 5, scalar: bool = False) -> Path:
    torch.manual_seed(1)
    psi = torch.tensor(1.0) if scalar else torch.ones(2, 1)
    inputs = (torch.zeros(2, Z), torch.zeros(2, classes), psi)
    return export(StyleGan(classes), inputs, path, ("z", "c", "truncation_psi"))


def write_dcgan(path: Path) -> Path:
    """With a batch of exactly one."""
    torch.manual_seed(2)
    return export(dcgan(), (torch.zeros(1, Z, 1, 1),), path, ("noise",), dynamic=False)


def node(operator: str, inputs: Sequence[str], output: str, **attributes: object) -> NodeProto:
    return helper.make_node(operator, inputs, [output], name=f"{operator}_{output}", **attributes)  # type: ignore[arg-type]  # attributes by name


Sizes = Sequence[int | str]


def write_small(
    path: Path,
    inputs: dict[str, tuple[int, Sizes]],
    body: Sequence[NodeProto],
    output: tuple[int, Sizes],
    weights: dict[str, tuple[int, ...]],
    opset: int = 18,
) -> Path:
    """A graph by hand: `body` makes "out"; weights are random, of these shapes."""
    rng = np.random.default_rng(4)
    stored = [
        numpy_helper.from_array(np.array(shape, np.int64), name)
        if name.startswith("shape")
        else numpy_helper.from_array(rng.normal(0, 0.5, shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    graph = helper.make_graph(
        body,
        "small",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("out", *output)],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def write_index(path: Path, kind: int = TensorProto.INT64, sizes: Sizes = ("n",)) -> Path:
    """Class numbers looked up in a table of five rows; NHWC, 8 pixels high and 6 wide, 0 to 255."""
    body = [
        node("Reshape", ["label", "shape_flat"], "flat"),
        node("Gather", ["table", "flat"], "embedded"),
        node("Concat", ["z", "embedded"], "both", axis=1),
        node("MatMul", ["both", "w"], "mixed"),
        node("Sigmoid", ["mixed"], "unit"),
        node("Reshape", ["unit", "shape_image"], "whole"),
        node("Constant", [], "white", value=numpy_helper.from_array(np.array(255, np.float32))),
        node("Mul", ["whole", "white"], "out"),
    ]
    weights = {"table": (5, 4), "w": (Z + 4, 8 * 6 * 3), "shape_flat": (-1,), "shape_image": (-1, 8, 6, 3)}
    inputs: dict[str, tuple[int, Sizes]] = {"z": (TensorProto.FLOAT, ["n", Z]), "label": (kind, sizes)}
    return write_small(path, inputs, body, (TensorProto.FLOAT, ["n", 8, 6, 3]), weights)


def write_linear(
    path: Path,
    more: dict[str, tuple[int, Sizes]] | None = None,
    *,
    channels: int = 3,
    kind: int = TensorProto.FLOAT,
    batch: int | str = "n",
    mixing: bool = False,
    opset: int = 18,
    side: int = 8,
) -> Path:
    """Sigmoid of a linear map, NCHW, 8 pixels high, 0 to 1. `more` are inputs beside z, whose mean is added to it.

    `mixing` adds the mean of the batch, as a batch norm that was left in training mode does. A batch that is a number
    is in the reshape, too.
    """
    body, last = [node("Cast", ["z"], "z0", to=TensorProto.FLOAT)], "z0"
    for name in more or {}:
        body += [
            node("Cast", [name], f"{name}0", to=TensorProto.FLOAT),
            node("ReduceMean", [f"{name}0"], f"{name}1", keepdims=0),
            node("Add", [last, f"{name}1"], f"{name}2"),
        ]
        last = f"{name}2"
    if mixing:
        body += [node("ReduceMean", [last, "shape_axis"], "mean"), node("Add", [last, "mean"], "mixed")]
        last = "mixed"
    body += [node("MatMul", [last, "w"], "y"), node("Sigmoid", ["y"], "unit")]
    body += [node("Reshape", ["unit", "shape_image"], "full"), node("Cast", ["full"], "out", to=kind)]
    rows = batch if isinstance(batch, int) else -1
    weights = {"w": (Z, channels * 8 * side), "shape_image": (rows, channels, 8, side), "shape_axis": (0,)}
    inputs = {"z": (kind, [batch, Z])} | (more or {})
    return write_small(path, inputs, body, (kind, [batch, channels, 8, side]), weights, opset)


def edit(path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    """The same file, changed."""
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path
