"""A picture on a background of one colour, put on white: a sticker is marked as it looks on white."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_TOLERANCE: Final = 12  # grey levels that a background may differ by, after JPEG
_BORDER: Final = 0.5  # share of the border that the background takes


def on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """(H, W, 3) on white; None where most of the border is not of one colour, or is white already.

    The background is what is joined to the border and of its colour. A pixel beside it is a mixture of the background
    and of the pixel two further in.
    """
    if pixels.shape[-1] == 4:
        return None
    wide = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.float64)
    edge = np.concatenate([wide[0], wide[-1], wide[:, 0], wide[:, -1]])
    colour = np.median(edge, axis=0)
    alike = np.abs(wide - colour).max(axis=2) <= _TOLERANCE
    same = np.abs(edge - colour).max(axis=1) <= _TOLERANCE
    if same.mean() < _BORDER or colour.min() > 250:
        return None
    background = _joined(alike)
    cover = _cover(wide, colour, background)
    white: NDArray[np.uint8] = np.clip(np.rint(wide + (1 - cover[..., None]) * (255 - colour)), 0, 255).astype(np.uint8)
    return white


def _joined(alike: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What of `alike` is joined to the border by a way of twice both sides at most: one through a maze has millions."""
    reached = alike.copy()
    reached[1:-1, 1:-1] = False
    for _ in range(2 * sum(alike.shape)):
        wider = _wider(reached) & alike
        if (wider == reached).all():
            break
        reached = wider
    return reached


def _wider(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wider = mask.copy()
    wider[1:] |= mask[:-1]
    wider[:-1] |= mask[1:]
    wider[:, 1:] |= mask[:, :-1]
    wider[:, :-1] |= mask[:, 1:]
    return wider


def _cover(
    wide: NDArray[np.float64], colour: NDArray[np.float64], background: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(H, W) how much of each pixel is the sticker: 0 in the background, 1 inside, between at its edge."""
    edge = _wider(background) & ~background
    inside = ~_wider(_wider(background))
    weight = inside.astype(np.float64)
    total = wide * weight[..., None]
    for axis in (0, 1):  # mean of the inner pixels within 5 × 5
        weight = np.sum([np.roll(weight, by, axis) for by in range(-2, 3)], axis=0)
        total = np.sum([np.roll(total, by, axis) for by in range(-2, 3)], axis=0)
    inner = total / np.maximum(weight, 1)[..., None]
    away = inner - colour
    share = ((wide - colour) * away).sum(axis=2) / np.maximum((away * away).sum(axis=2), 1)
    cover = np.where(background, 0.0, 1.0)
    known = edge & (weight > 0)
    cover[known] = np.clip(share[known], 0, 1)
    return cover
