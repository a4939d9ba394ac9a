"""What every generator and every discriminator is, whatever it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

START = 4  # pixels a side of the first feature map
SLOPE = 0.2  # of leaky ReLUs


@dataclass(frozen=True)
class GeneratorShape:
    """Everything that decides the sizes of a generator's weights. `conditions` 0 is a plain GAN."""

    resolution: int
    conditions: int
    latent: int = 128
    style: int = 128
    width: int = 48  # channels at the highest resolution; doubled at each halving up to `max_width`
    max_width: int = 192
    depth: int = 1  # residual blocks a resolution; of the plain GAN, hidden layers
    expansion: int = 1  # of a residual block's inner channels
    group_size: int = 0  # channels a group of its 3x3 convolution; 0: one group
    planes: int = 3  # of an image; 4: with alpha

    def channels(self, size: int) -> int:
        """Channels of the feature map that is `size` pixels a side."""
        return min(self.width * self.resolution // size, self.max_width)


@dataclass(frozen=True)
class DiscriminatorShape:
    """Everything that decides the sizes of a discriminator's weights; the same words as of a generator."""

    resolution: int
    conditions: int
    feature_size: int = 64  # side at which frozen features see images
    fine_tap: bool = False  # whether frozen features are also taken at half the images' side
    wide_mixing: bool = False  # whether coarser features are mixed to more channels
    width: int = 48
    max_width: int = 192
    depth: int = 1
    expansion: int = 1
    group_size: int = 0
    seed: int = 0  # of frozen random weights, which are not saved

    def channels(self, size: int) -> int:
        """Channels of the feature map that is `size` pixels a side."""
        return min(self.width * self.resolution // size, self.max_width)


class Generator(nn.Module):
    """`forward` takes latent (B, Z) and condition (B, C) or None; returns images (B, P, H, H), about [-1, 1].

    P is 3, or 4 with alpha, whose -1 is nothing and whose 1 is all; colours are not multiplied by it. In three parts,
    because each has a use of its own: `mapping` (latent, condition) -> style (B, W), linear in the condition's
    embedding, is where truncation acts; `synthesis` is the bulk and may run in half precision; `to_rgb` always runs in
    float32, or images would come in steps of a grey level.
    """

    separate_style: ClassVar[bool] = False  # whether `synthesis` uses the latent too, so that two images can mix
    shape: GeneratorShape
    mapping: nn.Module
    to_rgb: nn.Module

    def forward(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        maps = self.synthesis(latent, self.mapping(latent, condition))
        with torch.autocast(maps.device.type, enabled=False):
            images: Tensor = self.to_rgb(maps.float())
        return images

    def draw(self, latent: Tensor, style: Tensor) -> Tensor:
        """Images from latents and their styles; truncation changes both before they come here."""
        images: Tensor = self.to_rgb(self.synthesis(latent, style))
        return images  # (B, P, H, H)

    def synthesis(self, latent: Tensor, style: Tensor) -> Tensor:
        """What the last layer makes an image of."""
        raise TypeError(f"{type(self).__name__} does not say how it makes an image")

    def early_layers(self) -> Sequence[nn.Module]:
        """Those up to a quarter of the image's side: what a picture is made of, which few pictures cannot teach."""
        return []

    def first_weights(self) -> list[Tensor]:
        """The matrices (outputs, Z) that the latent meets first: where directions are looked for."""
        raise TypeError(f"{type(self).__name__} does not say which weights the latent meets first")


class Joined(nn.Module):
    """(latent, condition) -> both side by side, (B, Z + E): a mapping without layers of its own.

    The condition enters by a linear embedding as wide as the latent, so blends of categories are inputs like any.
    """

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.embed = nn.Linear(shape.conditions, shape.latent, bias=False) if shape.conditions else None
        self.width = shape.latent * (2 if shape.conditions else 1)
        if self.embed is not None:
            nn.init.normal_(self.embed.weight)  # a category's embedding is as long as a latent

    def forward(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        if self.embed is None:
            return latent  # (B, Z)
        return torch.cat([latent, self.embed(condition)], dim=1)  # (B, 2 Z)


Maps = list[Tensor]
Logits = list[Tensor]  # of each scale, (B, places)


class PixelDiscriminator(nn.Module):
    """A discriminator that looks at the image itself, with logits of one scale."""

    def forward(self, maps: Maps, conditions: Sequence[Tensor | None]) -> list[Logits]:
        """The logits with each condition (B, C), which may be of the first images only."""
        (images,) = maps  # (B, 3, H, H)
        return [[self.logits(images if each is None else images[: len(each)], each)] for each in conditions]

    def logits(self, images: Tensor, condition: Tensor | None) -> Tensor:
        """(B, places)"""
        raise TypeError(f"{type(self).__name__} does not say how it judges an image")


class Pixels(nn.Module):
    """The features of a discriminator that looks at the image itself."""

    def forward(self, images: Tensor) -> Maps:
        return [images]


@dataclass(frozen=True)
class Discriminator:
    """The discriminator's side: `trained(features(images), conditions)` are logits by condition; high means real."""

    trained: nn.Module  # all that is saved with a run
    features: nn.Module  # frozen; gradients flow through to the images
    together: bool = True  # real and drawn images may share a batch; not with batch norm, which would mix them


def pair_logits(
    network: nn.Module, together: bool, real: Maps, drawn: Maps, conditions: Sequence[Tensor | None]
) -> tuple[Logits, Logits, Logits | None]:
    """The logits of real and of drawn maps with the first of one or two conditions, of real ones with the second.

    `network` is a discriminator's trained part, and `together` its.
    """
    condition, *wrong = conditions
    if together:
        maps = [torch.cat(pair) for pair in zip(real, drawn, strict=True)]
        both = None if condition is None else torch.cat([condition, condition])
        logits, *wrong_label = network(maps, [both, *wrong])
        of_real, of_drawn = zip(*(each.chunk(2) for each in logits), strict=True)
        return list(of_real), list(of_drawn), wrong_label[0] if wrong else None
    of_real, *wrong_label = network(real, conditions)
    (of_drawn,) = network(drawn, [condition])
    return of_real, of_drawn, wrong_label[0] if wrong else None
