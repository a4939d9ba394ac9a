"""R3GAN (Huang et al., NeurIPS 2024), written from the paper: plain residual blocks and no normalisation.

What keeps it stable without tricks is the loss (relativistic pairs, R1 and R2) and the initialisation (Fixup, Zhang et
al., ICLR 2019): the last convolution of each block starts at zero, so the network starts as a shallow linear one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unikat_training.networks.base import SLOPE, START, DiscriminatorShape, Generator, GeneratorShape, Joined

GAIN = (2 / (1 + SLOPE**2)) ** 0.5  # of a leaky ReLU


class ResidualBlock(nn.Module):
    """x + conv1x1(act(conv3x3(act(conv1x1(x))))). `blocks` is how many the network has."""

    def __init__(self, channels: int, shape: GeneratorShape | DiscriminatorShape, blocks: int) -> None:
        super().__init__()
        inner = channels * shape.expansion
        groups = max(1, inner // shape.group_size) if shape.group_size else 1
        if inner % groups:
            inner += groups - inner % groups
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.conv = nn.Conv2d(inner, inner, 3, padding=1, groups=groups)
        self.expand = nn.Conv2d(inner, channels, 1, bias=False)
        for layer in (self.reduce, self.conv):
            scaled(layer, GAIN * blocks**-0.25)  # Fixup: L^(-1 / (2m - 2)) of m = 3 layers
        nn.init.zeros_(self.expand.weight)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.reduce(x), SLOPE)
        hidden = F.leaky_relu(self.conv(hidden), SLOPE)
        out: Tensor = x + self.expand(hidden)
        return out


def scaled(layer: nn.Conv2d | nn.Linear, gain: float) -> None:
    """Weights with which the output has `gain` times the input's deviation."""
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=gain * fan_in**-0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def stages(channels: int, shape: GeneratorShape | DiscriminatorShape) -> nn.Sequential:
    """The residual blocks of one resolution."""
    resolutions = (shape.resolution // START).bit_length()
    return nn.Sequential(*(ResidualBlock(channels, shape, resolutions * shape.depth) for _ in range(shape.depth)))


def change_of_width(inputs: int, outputs: int) -> nn.Module:
    if inputs == outputs:
        return nn.Identity()
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    scaled(layer, 1.0)
    return layer


class R3Generator(Generator):
    """A learned 4x4 basis, modulated by latent and condition, then blocks and bilinear doublings."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        joined = Joined(shape)
        self.mapping = joined
        first = shape.channels(START)
        self.basis = nn.Parameter(torch.randn(first, START, START))
        self.modulate = nn.Linear(joined.width, first, bias=False)
        scaled(self.modulate, 1.0)
        self.stages = nn.ModuleList([stages(first, shape)])
        self.changes = nn.ModuleList()
        for step in range(1, (shape.resolution // START).bit_length()):
            before, channels = shape.channels(START << (step - 1)), shape.channels(START << step)
            self.changes.append(change_of_width(before, channels))
            self.stages.append(stages(channels, shape))
        last = nn.Conv2d(shape.channels(shape.resolution), shape.planes, 1)
        scaled(last, 1.0)
        self.to_rgb = last

    def synthesis(self, latent: Tensor, style: Tensor) -> Tensor:
        x: Tensor = self.modulate(style)[:, :, None, None] * self.basis  # (B, C, 4, 4)
        x = self.stages[0](x)
        for change, stage in zip(self.changes, list(self.stages)[1:], strict=True):
            x = F.interpolate(change(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = stage(x)  # (B, C', size, size)
        return x

    def early_layers(self) -> Sequence[nn.Module]:
        steps = max((self.shape.resolution // (4 * START)).bit_length(), 1)  # of which the first is at START
        return [self.modulate, *list(self.stages)[:steps], *list(self.changes)[: steps - 1]]

    def first_weights(self) -> list[Tensor]:
        return [self.modulate.weight[:, : self.shape.latent]]


class R3Discriminator(nn.Module):
    """The generator backwards. The condition enters as a dot product with a linear embedding, beside a logit of its own
    for the image alone: without that, an image without a condition would have the logit 0 always.
    """

    def __init__(self, shape: DiscriminatorShape) -> None:
        super().__init__()
        size = shape.resolution
        self.from_rgb = nn.Conv2d(3, shape.channels(size), 1)
        scaled(self.from_rgb, 1.0)
        self.stages = nn.ModuleList([stages(shape.channels(size), shape)])
        self.changes = nn.ModuleList()
        while size > START:
            self.changes.append(change_of_width(shape.channels(size), shape.channels(size // 2)))
            size //= 2
            self.stages.append(stages(shape.channels(size), shape))
        last = shape.channels(START)
        self.basis = nn.Conv2d(last, last, START, groups=last, bias=False)
        scaled(self.basis, 1.0)
        self.to_logits = nn.Linear(last, 1)
        scaled(self.to_logits, 1.0)
        self.embed = nn.Linear(shape.conditions, last, bias=False) if shape.conditions else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=last**-0.5)

    def forward(self, maps: list[Tensor], conditions: Sequence[Tensor | None]) -> list[list[Tensor]]:
        """The logits (B, 1) with each condition (B, C), which may be of the first images only."""
        x = self.stages[0](self.from_rgb(maps[0]))  # (B, C, H, H)
        for change, stage in zip(self.changes, list(self.stages)[1:], strict=True):
            x = stage(change(F.avg_pool2d(x, 2)))  # a bilinear halving is the mean of 2 x 2
        x = self.basis(x).flatten(1)  # (B, C)
        plain: Tensor = self.to_logits(x)  # (B, 1)
        if self.embed is None:
            return [[plain] for _ in conditions]
        embedded = [self.embed(condition) for condition in conditions]
        return [[plain[: len(e)] + (x[: len(e)] * e).sum(dim=1, keepdim=True)] for e in embedded]
