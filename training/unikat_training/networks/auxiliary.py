"""A classifier of the attributes on the discriminator's frozen features (AC-GAN, Odena et al. 2017).

It is trained on real pictures alone, so that it cannot agree with the generator on what a label looks like.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 96
LEAST = 4  # pixels a side of the last map, whose places are told apart: glasses are where the eyes are
GROUPS = 8


class Auxiliary(nn.Module):
    """Mixed feature maps, as the heads see them, to the logits of each attribute's categories, [(B, K), …]."""

    def __init__(self, widths: Sequence[int], sizes: Sequence[int], categories: Sequence[int]) -> None:
        super().__init__()
        self.categories = list(categories)
        # The finest map costs more than it tells; what it has of the coarser ones is in the next one too.
        self.first = next((scale for scale, size in enumerate(sizes) if size <= sizes[-1] * 8), 0)
        self.down = nn.ModuleList()
        size, width, scale = sizes[self.first], widths[self.first], self.first
        while size > LEAST:
            self.down.append(self.convolution(width, stride=2))
            size, width, scale = size // 2, CHANNELS, scale + 1
            if scale < len(sizes):
                width += widths[scale]
        self.last = self.convolution(width, stride=1)
        self.to_logits = nn.Linear(CHANNELS * size * size, sum(categories))

    def convolution(self, width: int, stride: int) -> nn.Module:
        conv = nn.Conv2d(width, CHANNELS, 3, stride, 1, bias=False)
        return nn.Sequential(conv, nn.GroupNorm(GROUPS, CHANNELS), nn.LeakyReLU(0.2))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        x, rest = maps[self.first], maps[self.first + 1 :]
        for index, layer in enumerate(self.down):
            x = layer(x)  # (B, C, s/2, s/2)
            if index < len(rest):
                x = torch.cat([x, rest[index]], dim=1)
        logits: Tensor = self.to_logits(self.last(x).flatten(1))
        return list(torch.split(logits, self.categories, dim=1))


def condition_loss(found: Sequence[Tensor], condition: Tensor) -> Tensor:
    """Cross-entropy of logits [(B, K), …] with a condition (B, C), the mean over attributes.

    What is left out of a condition does not count.
    """
    wanted = torch.split(condition, [logits.shape[1] for logits in found], dim=1)
    each = [
        -(target * F.log_softmax(logits.float(), dim=1)).sum(dim=1).mean()
        for logits, target in zip(found, wanted, strict=True)
    ]
    return torch.stack(each).mean()
