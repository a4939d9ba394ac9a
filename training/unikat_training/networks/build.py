"""Networks by the names that presets call them."""

from collections.abc import Sequence

import torch

from unikat_training.config import Config
from unikat_training.networks.auxiliary import Auxiliary
from unikat_training.networks.base import Discriminator, DiscriminatorShape, Generator, GeneratorShape, Pixels
from unikat_training.networks.dcgan import DCDiscriminator, DCGenerator
from unikat_training.networks.fastgan import FastGenerator
from unikat_training.networks.plain import PlainDiscriminator, PlainGenerator
from unikat_training.networks.projected import Heads, Projection
from unikat_training.networks.r3gan import R3Discriminator, R3Generator

GENERATORS: dict[str, type[FastGenerator | R3Generator | DCGenerator | PlainGenerator]] = {
    "fastgan": FastGenerator,
    "r3gan": R3Generator,
    "dcgan": DCGenerator,
    "plain": PlainGenerator,
}


def generator_shape(config: Config, resolution: int, conditions: int, planes: int = 3) -> GeneratorShape:
    return GeneratorShape(
        resolution,
        conditions,
        latent=config.latent,
        width=config.width,
        max_width=config.max_width,
        depth=config.depth,
        expansion=config.expansion,
        group_size=config.group_size,
        planes=planes,
    )


def discriminator_shape(config: Config, resolution: int, conditions: int) -> DiscriminatorShape:
    return DiscriminatorShape(
        resolution,
        conditions,
        feature_size=config.feature_size,
        fine_tap=config.fine_tap,
        wide_mixing=config.wide_mixing,
        width=config.discriminator_width,
        max_width=config.discriminator_max_width,
        depth=config.depth,
        expansion=config.expansion,
        group_size=config.group_size,
        seed=config.seed,
    )


def build_generator(config: Config, resolution: int, conditions: int, planes: int = 3) -> Generator:
    return GENERATORS[config.generator](generator_shape(config, resolution, conditions, planes))


def build_discriminator(config: Config, resolution: int, conditions: int) -> Discriminator:
    shape = discriminator_shape(config, resolution, conditions)
    if config.discriminator == "projected":
        frozen = Projection(shape).requires_grad_(False).eval()
        heads = Heads(frozen.widths, frozen.sizes, conditions)
        # Channels last is how the frozen features are stored.
        heads, frozen = (network.to(memory_format=torch.channels_last) for network in (heads, frozen))  # type: ignore[call-overload]  # torch's stubs lack this form
        return Discriminator(heads, frozen)
    if config.discriminator == "r3gan":
        return Discriminator(R3Discriminator(shape), Pixels())
    if config.discriminator == "dcgan":
        return Discriminator(DCDiscriminator(shape), Pixels(), together=False)
    return Discriminator(PlainDiscriminator(shape), Pixels())


def build_auxiliary(config: Config, discriminator: Discriminator, sizes: Sequence[int]) -> Auxiliary | None:
    """The classifier of attributes with so many categories each, if the settings want one and there are any."""
    if not config.auxiliary or not sizes or not isinstance(discriminator.features, Projection):
        return None
    return Auxiliary(discriminator.features.widths, discriminator.features.sizes, sizes)
