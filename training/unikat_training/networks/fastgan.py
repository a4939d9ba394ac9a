"""The generator: latent and condition to image, small enough to draw on a CPU.

After FastGAN (Liu et al., ICLR 2021): gated convolutions and skip-layer excitation, but with the
latent entering every block through the scale and shift of its normalisation, and without noise:
an image is a function of its inputs alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unikat_training.networks.base import START, Generator, GeneratorShape


class Mapping(nn.Module):
    """(latent, condition) -> style. The condition enters linearly, so blends of categories are inputs like any."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.embed = nn.Linear(shape.conditions, shape.latent, bias=False) if shape.conditions else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=0.5)  # the condition must not drown the latent
        inputs = shape.latent * (2 if shape.conditions else 1)
        self.hidden = nn.Linear(inputs, shape.style)
        self.out = nn.Linear(shape.style, shape.style)
        for layer in (self.hidden, self.out):  # a style about as wide as the latent: the images differ from the start
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)

    def forward(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        x = latent  # (B, Z)
        if self.embed is not None:
            x = torch.cat([latent, self.embed(condition)], dim=1)  # (B, 2 Z)
        x = F.leaky_relu(self.hidden(x), 0.2)  # (B, W)
        style: Tensor = self.out(x)
        return style  # (B, W)


class StyledNorm(nn.Module):
    """Batch norm whose scale and shift come from the style.

    In eval mode the statistics are constants, so an image does not depend on the batch it is drawn in.
    """

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.affine = nn.Linear(style, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.5 / style**0.5)  # starts near the plain norm
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1)
        out: Tensor = self.norm(x) * (1 + scale) + shift
        return out


class GatedConv(nn.Module):
    """3x3 convolution, of an image that is doubled before if it `doubles`, styled norm, gated linear unit."""

    def __init__(self, inputs: int, outputs: int, style: int, doubles: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False)
        self.norm = StyledNorm(2 * outputs, style)
        self.doubles = doubles

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = doubled_conv(x, self.conv.weight) if self.doubles else self.conv(x)
        return F.glu(self.norm(x, style), dim=1)


def doubled_conv(x: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 convolution (O, I, 3, 3) of x (B, I, H, W) whose pixels are doubled: (B, O, 2 H, 2 W).

    In training as one transposed convolution, whose kernel has the sums of weights that meet the same pixel: 16
    products a pixel of x instead of 36. The exported graph doubles first, which is the form that runtimes are fast at.
    """
    if torch.compiler.is_exporting():
        return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)
    flipped = weight.transpose(0, 1).flip(2, 3)  # (I, O, 3, 3)
    sides = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))
    kernel = torch.stack([F.pad(flipped, side) for side in sides]).sum(dim=0)  # (I, O, 4, 4)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1)


class SkipExcitation(nn.Module):
    """A small map decides, channel by channel, how strong a map four times its size is."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, outputs, 1)
        self.excite = nn.Conv2d(outputs, outputs, 1)

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        pooled = small.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
        return large * torch.sigmoid(self.excite(F.silu(self.squeeze(pooled))))


class FastGenerator(Generator):
    """`H` is 4 times a power of two. The output is not clamped; who shows it does that."""

    separate_style = True

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        self.mapping = Mapping(shape)
        first = shape.channels(START)
        # From the latent alone and without a bias: what is where differs from image to image from the first step on.
        # With the condition in it, the early generator drew one image a category, and took long to part with it.
        self.start = nn.Linear(shape.latent, first * START * START, bias=False)
        self.start_conv = GatedConv(first, first, shape.style)
        self.sizes = [START << step for step in range(1, (shape.resolution // START).bit_length())]
        self.ups = nn.ModuleList()
        self.refines = nn.ModuleList()
        self.skips = nn.ModuleDict()
        for size in self.sizes:
            channels = shape.channels(size)
            self.ups.append(GatedConv(shape.channels(size // 2), channels, shape.style, doubles=True))
            # a second convolution where it is cheap; at full size it would cost as much as all the rest
            if size < shape.resolution:
                self.refines.append(GatedConv(channels, channels, shape.style))
            if size >= 4 * START:
                self.skips[str(size)] = SkipExcitation(shape.channels(size // 4), channels)
        self.to_rgb = nn.Conv2d(shape.channels(shape.resolution), shape.planes, 3, padding=1)

    def synthesis(self, latent: Tensor, style: Tensor) -> Tensor:
        """The last feature map, (B, C, H, H)."""
        x: Tensor = self.start(latent).unflatten(1, (-1, START, START))  # (B, C, 4, 4)
        x = self.start_conv(x, style)
        maps = {START: x}
        for index, size in enumerate(self.sizes):
            x = self.ups[index](x, style)  # (B, C', size, size)
            if index < len(self.refines):
                x = x + self.refines[index](x, style)
            if str(size) in self.skips:
                x = self.skips[str(size)](maps[size // 4], x)
            maps[size] = x
        return x

    def early_layers(self) -> Sequence[nn.Module]:
        """With the mapping, but for the embedding of conditions, which may be new ones."""
        early = [index for index, size in enumerate(self.sizes) if size * 4 <= self.shape.resolution]
        skips = [layer for size, layer in self.skips.items() if int(size) * 4 <= self.shape.resolution]
        ups, refines = ([layers[index] for index in early] for layers in (self.ups, self.refines))
        style = [self.mapping.get_submodule(name) for name in ("hidden", "out")]
        return [*style, self.start, self.start_conv, *ups, *refines, *skips]

    def first_weights(self) -> list[Tensor]:
        """Of the style, and of what is where."""
        return [self.mapping.get_parameter("hidden.weight")[:, : self.shape.latent], self.start.weight]
