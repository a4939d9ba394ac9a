"""The project's latents (`unikat.sampling`) as torch tensors, for previews: the numbers the service will draw with."""

from collections.abc import Iterable

import torch
from torch import Tensor

from unikat import sampling


def latents(seed: int, indices: Iterable[int], size: int, device: torch.device | str = "cpu") -> Tensor:
    return torch.from_numpy(sampling.latents(seed, indices, size)).to(device)
