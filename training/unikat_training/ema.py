"""The exponential moving average of the generator: what is shown, measured and exported."""

import torch
from torch import nn


def decay(images: int, batch: int, half_life: float, ramp: float) -> float:
    """Share of the average that is kept in a step of `batch` images, after `images` of them.

    The half-life (images) is at most a share `ramp` of the images seen, so that an untrained start is forgotten; with 0
    it is what it is.
    """
    images_of_half = min(half_life, ramp * images) if ramp else half_life
    return float(0.5 ** (batch / max(images_of_half, 1e-8)))


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, kept: float) -> None:
    """`average <- kept * average + (1 - kept) * network`; also the batch norm's statistics, not its counters."""
    for target, source in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if target.is_floating_point():
            target.lerp_(source, 1 - kept)
        else:
            target.copy_(source)
