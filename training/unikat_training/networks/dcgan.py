"""DCGAN (Radford et al., ICLR 2016) with labels by concatenation (Mirza & Osindero 2014): the textbook's baseline."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from unikat_training.networks.base import (
    SLOPE,
    START,
    DiscriminatorShape,
    Generator,
    GeneratorShape,
    Joined,
    PixelDiscriminator,
)

DEVIATION = 0.02  # of all initial weights (section 4 of the paper)


def initialised(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=DEVIATION)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, DEVIATION)


class DCGenerator(Generator):
    """Transposed convolutions, batch norm, ReLU; tanh at the end."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        self.mapping = joined = Joined(shape)
        size, channels = START, shape.channels(2 * START)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(joined.width, channels, START, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        while 2 * size < shape.resolution:
            size *= 2
            wider, channels = channels, shape.channels(2 * size)
            layers += [
                nn.ConvTranspose2d(wider, channels, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        self.body = nn.Sequential(*layers)
        last = nn.ConvTranspose2d(channels, shape.planes, 4, stride=2, padding=1, bias=False)
        self.to_rgb = nn.Sequential(OrderedDict(conv=last, tanh=nn.Tanh()))
        initialised(self.body)
        initialised(self.to_rgb)

    def synthesis(self, latent: Tensor, style: Tensor) -> Tensor:
        x: Tensor = self.body(style[:, :, None, None])  # (B, C, H/2, H/2)
        return x

    def first_weights(self) -> list[Tensor]:
        kernel = self.body.get_parameter("0.weight")  # (Z + E, C, 4, 4): transposed, so inputs come first
        return [kernel[: self.shape.latent].flatten(1).T]


class DCDiscriminator(PixelDiscriminator):
    """Strided convolutions, batch norm, leaky ReLU. The condition is one more colour channel, linear in it."""

    def __init__(self, shape: DiscriminatorShape) -> None:
        super().__init__()
        self.embed = nn.Linear(shape.conditions, shape.resolution**2, bias=False) if shape.conditions else None
        size, channels = shape.resolution // 2, shape.channels(shape.resolution)
        layers: list[nn.Module] = [
            nn.Conv2d(3 + (self.embed is not None), channels, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
        ]
        while size > START:
            narrower, channels = channels, shape.channels(size)
            layers += [
                nn.Conv2d(narrower, channels, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.LeakyReLU(SLOPE),
            ]
            size //= 2
        self.body = nn.Sequential(*layers, nn.Conv2d(channels, 1, START))
        initialised(self.body)
        if self.embed is not None:
            nn.init.normal_(self.embed.weight)  # as strong as a colour channel

    def logits(self, images: Tensor, condition: Tensor | None) -> Tensor:
        if self.embed is not None:
            plane = self.embed(condition).reshape(-1, 1, *images.shape[2:])  # (B, 1, H, H)
            images = torch.cat([images, plane.to(images.dtype)], dim=1)  # (B, 4, H, H)
        logits: Tensor = self.body(images)
        return logits.flatten(1)  # (B, 1)
