"""The exponential moving average of the generator: what is shown, measured and exported."""

import torch
from torch import nn

RAMP = 0.05  # early on the half-life is this share of the images seen, so that the untrained start is forgotten


def decay(images: int, batch: int, half_life: float) -> float:
    """Share of the average that is kept in a step of `batch` images, after `images` of them."""
    images_of_half = max(min(half_life, RAMP * images), 1e-8)
    return float(0.5 ** (batch / images_of_half))


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, kept: float) -> None:
    """`average <- kept * average + (1 - kept) * network`; also the batch norm's statistics, not its counters."""
    for target, source in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if target.is_floating_point():
            target.lerp_(source, 1 - kept)
        else:
            target.copy_(source)
