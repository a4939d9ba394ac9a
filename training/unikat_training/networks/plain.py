"""The first GAN (Goodfellow et al., NeurIPS 2014): layers of neurons, no convolution."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from unikat_training.networks.base import (
    SLOPE,
    DiscriminatorShape,
    Generator,
    GeneratorShape,
    Joined,
    PixelDiscriminator,
)


def layers(inputs: int, width: int, depth: int) -> nn.Sequential:
    """`depth` hidden layers, each with a leaky ReLU."""
    sizes = [inputs] + [width] * depth
    return nn.Sequential(*(part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.LeakyReLU(SLOPE))))


class PlainGenerator(Generator):
    """Latent and condition to hidden layers to all pixels at once."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        self.mapping = joined = Joined(shape)
        self.body = layers(joined.width, shape.width, shape.depth)
        size = (shape.planes, shape.resolution, shape.resolution)
        pixels = shape.planes * shape.resolution**2
        self.to_rgb = nn.Sequential(nn.Linear(shape.width, pixels), nn.Tanh(), nn.Unflatten(1, size))

    def synthesis(self, latent: Tensor, style: Tensor) -> Tensor:
        x: Tensor = self.body(style)  # (B, width)
        return x

    def first_weights(self) -> list[Tensor]:
        return [self.body.get_parameter("0.weight")[:, : self.shape.latent]]


class PlainDiscriminator(PixelDiscriminator):
    """All pixels and the condition, side by side, to one logit."""

    def __init__(self, shape: DiscriminatorShape) -> None:
        super().__init__()
        self.body = layers(3 * shape.resolution**2 + shape.conditions, shape.width, shape.depth)
        self.to_logits = nn.Linear(shape.width, 1)

    def logits(self, images: Tensor, condition: Tensor | None) -> Tensor:
        x = images.flatten(1)  # (B, 3 H H)
        if condition is not None:
            x = torch.cat([x, condition], dim=1)
        logits: Tensor = self.to_logits(self.body(x))
        return logits  # (B, 1)
