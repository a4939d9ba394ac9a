"""Networks by the names that presets call them."""

import torch

from unikat_training.config import Config
from unikat_training.networks.base import Critic, CriticShape, Generator, GeneratorShape, Pixels
from unikat_training.networks.dcgan import DCCritic, DCGenerator
from unikat_training.networks.fastgan import FastGenerator
from unikat_training.networks.plain import PlainCritic, PlainGenerator
from unikat_training.networks.projected import Heads, Projection
from unikat_training.networks.r3gan import R3Critic, R3Generator

GENERATORS: dict[str, type[FastGenerator | R3Generator | DCGenerator | PlainGenerator]] = {
    "fastgan": FastGenerator,
    "r3gan": R3Generator,
    "dcgan": DCGenerator,
    "plain": PlainGenerator,
}


def generator_shape(config: Config, resolution: int, conditions: int) -> GeneratorShape:
    return GeneratorShape(
        resolution,
        conditions,
        latent=config.latent,
        width=config.width,
        max_width=config.max_width,
        depth=config.depth,
        expansion=config.expansion,
        group_size=config.group_size,
    )


def critic_shape(config: Config, resolution: int, conditions: int) -> CriticShape:
    return CriticShape(
        resolution,
        conditions,
        feature_size=config.feature_size,
        width=config.critic_width,
        max_width=config.critic_max_width,
        depth=config.depth,
        expansion=config.expansion,
        group_size=config.group_size,
        seed=config.seed,
    )


def build_generator(config: Config, resolution: int, conditions: int) -> Generator:
    return GENERATORS[config.generator](generator_shape(config, resolution, conditions))


def build_critic(config: Config, resolution: int, conditions: int) -> Critic:
    shape = critic_shape(config, resolution, conditions)
    if config.critic == "projected":
        heads = Heads(shape.feature_size, conditions)
        frozen = Projection(shape.feature_size, shape.seed).requires_grad_(False).eval()
        # Channels last is how the frozen features are stored; the depthwise ones lose by half precision.
        heads, frozen = (network.to(memory_format=torch.channels_last) for network in (heads, frozen))  # type: ignore[call-overload]  # torch's stubs lack this form
        return Critic(heads, frozen, autocast=False)
    if config.critic == "r3gan":
        return Critic(R3Critic(shape), Pixels())
    if config.critic == "dcgan":
        return Critic(DCCritic(shape), Pixels(), together=False)
    return Critic(PlainCritic(shape), Pixels())
