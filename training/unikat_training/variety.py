"""How much two drawings of one condition differ, beside two of its pictures: against generators that draw only one.

A discriminator judges images one by one, and a condition of many attributes leaves few pictures that would show it that
all drawings are alike. So the generator is told of pairs: two latents of one condition shall be as far apart as two
pictures of that condition are on average (after Mao et al., "Mode Seeking Generative Adversarial Networks", CVPR 2019,
and Yang et al., "Diversity-Sensitive Conditional Generative Adversarial Networks", ICLR 2019; their bound is constant).
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from unikat_training.data.dataset import Dataset

SIDE: Final = 16  # pixels; shapes count at this size, noise does not
_OF_CELL: Final = 8  # pictures of a condition that are compared
_BYTES: Final = 2**24  # of pictures that are read at a time
_EDGE: Final = 0.05  # difference of lightness, of 1, that counts half

Floats = npt.NDArray[np.float32]


def thumbnails(images: Tensor) -> Tensor:
    """(B, 3 or 4, H, H) in [-1, 1] -> (B, 5, 16, 16): edges, the opaque part, and colour without its lightness.

    Lightness itself does not count, nor how strong an edge is: with them, a generator shades one drawing in many ways.
    """
    alpha = (images[:, 3:] + 1) / 2 if images.shape[1] == 4 else torch.ones_like(images[:, :1])
    colour = F.avg_pool2d((images[:, :3] + 1) / 2 * alpha, 2)
    light = colour.mean(dim=1, keepdim=True)
    across = light[:, :, :-1, 1:] - light[:, :, :-1, :-1]
    down = light[:, :, 1:, :-1] - light[:, :, :-1, :-1]
    edges = (across.square() + down.square() + 1e-6).sqrt()
    side = min(SIDE, light.shape[2])
    maps = (edges / (edges + _EDGE), F.avg_pool2d(alpha, 2), colour - light)
    return torch.cat([F.adaptive_avg_pool2d(each, side) for each in maps], dim=1)


def difference(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference of two batches of thumbnails, (B,)."""
    return (one - other).abs().mean(dim=(1, 2, 3))


def loss(one: Tensor, other: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Of pairs of drawings (B, P, H, H) that shall differ by `wanted` (B,) at least; and their share of it, a mean."""
    share = difference(thumbnails(one.float()), thumbnails(other.float())) / wanted
    return F.relu(1 - share).mean(), share.mean()


def wanted_differences(dataset: Dataset) -> Floats:
    """By picture, how much two pictures of its condition differ on average, (N,); above 0.

    A condition of few pictures is told by few pairs: the mean of all conditions counts as one more pair.
    """
    _, cell = np.unique(dataset.labels, axis=0, return_inverse=True)
    order = np.argsort(cell, kind="stable")
    cells = np.split(order, np.flatnonzero(np.diff(cell[order])) + 1)
    told = np.concatenate([rows[:_OF_CELL] for rows in cells])
    count = max(1, _BYTES // (dataset.resolution**2 * dataset.channels))
    small = np.concatenate([_thumbnails(dataset, told[at : at + count]) for at in range(0, len(told), count)])
    ends = np.cumsum([min(len(rows), _OF_CELL) for rows in cells])
    sums, pairs = np.array([_pairs(some) for some in np.split(small, ends[:-1])]).T
    usual = sums.sum() / max(pairs.sum(), 1)
    means = (sums + usual) / (pairs + 1)
    wanted: Floats = np.maximum(means, 1e-3).astype(np.float32)[cell.reshape(-1)]
    return wanted


def _thumbnails(dataset: Dataset, rows: npt.NDArray[np.int64]) -> Floats:
    pixels = torch.from_numpy(dataset.layers(rows)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return thumbnails(pixels).flatten(1).numpy()


def _pairs(small: Floats) -> tuple[float, int]:
    """Sum of the differences of all pairs, and how many there are."""
    count = len(small)
    total = sum(float(np.abs(small[i + 1 :] - small[i]).mean(axis=1).sum()) for i in range(count - 1))
    return total, count * (count - 1) // 2
