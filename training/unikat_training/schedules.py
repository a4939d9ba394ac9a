"""What changes with the images shown: rates, weights and strengths of a step."""

import math
from dataclasses import dataclass

from unikat_training.config import Config

REFERENCE_SIDE = 64  # pixels
REFERENCE_PICTURES = 1_280_000


@dataclass(frozen=True)
class Rates:
    """The values of one step."""

    learning_rate: float
    beta2: float
    gamma: float  # weight of R1 and R2
    ema_images: float  # half-life of the average
    augment: float  # probability; with ADA its upper limit
    condition: float  # 0: conditions are without effect; 1: as they are
    auxiliary: float  # weight of the classifier's loss


def rates_at(config: Config, images: int, rule: float) -> Rates:
    """After so many images; `rule` is `gamma_rule` of the data."""
    done = cosine(images, config.decay_from, config.decay_to)
    lr, gamma = config.learning_rate, config.gamma * rule
    half_life = float(config.ema_images)
    if config.ema_images_from:
        half_life = between(config.ema_images_from, config.ema_images, done)
    return Rates(
        learning_rate=between(lr, lr * config.learning_rate_to, done),
        beta2=between(config.beta2, config.beta2_to, done),
        gamma=between(gamma, gamma * config.gamma_to, done),
        ema_images=half_life,
        augment=between(0.0, config.augment, done) if config.augment_ramp else config.augment,
        condition=line(images, config.condition_from, config.condition_to),
        auxiliary=config.auxiliary * line(images, config.auxiliary_from, config.auxiliary_to),
    )


def cosine(images: int, start: int, end: int) -> float:
    """0 until `start`, 1 from `end` on, half a cosine between; always 0 if there is no end."""
    if not end or images <= start:
        return 0.0
    return 0.5 * (1 - math.cos(math.pi * min(1.0, (images - start) / (end - start))))


def line(images: int, start: int, end: int) -> float:
    """0 until `start`, 1 from `end` on; always 1 if there is no end."""
    return min(max((images - start) / (end - start), 0.0), 1.0) if end else 1.0


def between(one: float, other: float, done: float) -> float:
    return one if done == 0 else one + (other - one) * done


def gamma_rule(resolution: int, pictures: int) -> float:
    """What `gamma` is multiplied with: it is a sum over pixels, and few pictures need a smoother discriminator.

    1 for ImageNet at 64 pixels, 2.07 for the 70,000 faces of FFHQ at 64 (the paper of R3GAN has 2).
    """
    return float((resolution / REFERENCE_SIDE) ** 2 * (REFERENCE_PICTURES / pictures) ** 0.25)
