"""What every generator and every discriminator is, whatever it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

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
        return self.draw(latent, self.mapping(latent, condition))

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


class LogitsNetwork(Protocol):
    """A discriminator's trained part: feature maps and condition (B, C) to the logits of each scale, (B, places)."""

    def __call__(self, maps: list[Tensor], condition: Tensor | None) -> list[Tensor]: ...


@runtime_checkable
class ManyConditionsNetwork(Protocol):
    """One that shares the work between conditions; each of these may be of the first images only."""

    def all_logits(self, maps: list[Tensor], conditions: Sequence[Tensor | None]) -> list[list[Tensor]]: ...


Maps = list[Tensor]
PairLogits = tuple[list[Tensor], list[Tensor], list[Tensor] | None]


class Pixels(nn.Module):
    """The features of a discriminator that looks at the image itself."""

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images]


@dataclass(frozen=True)
class Discriminator:
    """The discriminator's side: `trained(features(images), condition)` are logits; high means real."""

    trained: nn.Module  # a `LogitsNetwork`; all that is saved with a run
    features: nn.Module  # frozen; gradients flow through to the images
    together: bool = True  # real and drawn images may share a batch; not with batch norm, which would mix them

    def logits(self, maps: list[Tensor], condition: Tensor | None) -> list[Tensor]:
        logits: list[Tensor] = self.trained(maps, condition)
        return logits

    def pair_logits(self, real: Maps, drawn: Maps, condition: Tensor | None, wrong: Tensor | None) -> PairLogits:
        """The logits of real and of drawn maps; those of a pair have the same condition. With `wrong`, a condition of
        the real ones that is not theirs, also of these with that."""
        if not self.together:
            wrong_label = None if wrong is None else self.logits(real, wrong)
            return self.logits(real, condition), self.logits(drawn, condition), wrong_label
        maps = [torch.cat(pair) for pair in zip(real, drawn, strict=True)]
        both = None if condition is None else torch.cat([condition, condition])
        if isinstance(self.trained, ManyConditionsNetwork):
            logits, *more = self.trained.all_logits(maps, [both] if wrong is None else [both, wrong])
            wrong_label = more[0] if more else None
        else:
            logits, wrong_label = self.logits(maps, both), None if wrong is None else self.logits(real, wrong)
        halves = [each.chunk(2) for each in logits]
        return [half[0] for half in halves], [half[1] for half in halves], wrong_label
