"""How far a drawing is from a training picture, once it lies on it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from unikat.originality.descriptor import CHROMA, LUMA, Floats

Doubles = NDArray[np.float64]

FREE: Final = np.float32(8)  # grey levels by which cells may differ: rounding, JPEG
FREE_COLOUR: Final = np.float32(4)
MASKED: Final = np.float32(0.6)  # of the deviation around a cell: damages are large where a picture is uneven
DARKEST, BRIGHTEST = 0.88, 1.14  # factors of brightness that are undone
_FROM, _TO, _SEEN_TO = 24, 200, 240  # grey levels that tell of the brightness


def distances(grey: Floats, colours: Floats, training: tuple[Floats, Floats], inside: tuple[Floats, Floats]) -> Floats:
    """Of P pairs: grey (P, L, L) and colours (P, 2, C, C), training pictures of the same shapes; (P,).

    Root of the mean square of what damages do not explain; 0 for a copy. `inside` (P, L, L) and (P, C, C) is 1 for
    cells that count. The same float32 on every machine.
    """
    factor = brightness(grey, training[0], inside[0])
    lit = np.minimum(training[0] * factor, np.float32(255))
    # What is made brighter may stop at any level on its way: white stays white.
    apart = np.maximum(grey - np.maximum(lit, training[0]), np.minimum(lit, training[0]) - grey)
    apart -= FREE
    apart -= MASKED * unevenness(grey, training[0])
    left = np.maximum(apart, 0) * inside[0]
    own, theirs = (each.reshape(-1, *each.shape[2:]) for each in (colours, training[1]))
    spread = unevenness(own, theirs).reshape(colours.shape)
    # Where red is white already, only green and blue become brighter: the colour changes by half of that.
    side = LUMA // CHROMA
    light = training[0].reshape(len(grey), CHROMA, side, CHROMA, side).sum(axis=(2, 4)) / np.float32(side**2)
    paler = light * np.maximum(factor - 1, 0) / 2
    free = FREE_COLOUR + MASKED * spread + paler[:, None]
    coloured = np.maximum(np.abs(colours - training[1]) - free, 0) * inside[1][:, None]
    return np.sqrt(_mean_square(left, inside[0]) + _mean_square(coloured, inside[1])).astype(np.float32)


def brightness(grey: Floats, training: Floats, inside: Floats) -> Floats:
    """By how much the drawing is brighter than the training picture, (P, 1, 1): by least squares."""
    counts = (training >= _FROM) & (training <= _TO) & (grey <= _SEEN_TO) & (inside > 0)
    wide, seen = np.where(counts, training, 0).astype(np.float64), grey.astype(np.float64)
    over, under = _dot(wide, seen), _dot(wide, wide)
    factor = np.clip(np.where(under > 0, over / np.maximum(under, 1), 1.0), DARKEST, BRIGHTEST)
    found: Floats = factor.astype(np.float32)[:, None, None]
    return found


def unevenness(*pictures: Floats) -> Floats:
    """(P, S, S): root of the mean variance of the 3 × 3 cells around each, of the pictures (P, S, S) together."""
    total: Floats = np.zeros_like(pictures[0])
    for each in pictures:
        padded = _padded(each)
        total += 9 * _three(padded * padded)
        total -= _three(padded) ** 2
    deviation: Floats = np.sqrt(total / np.float32(81 * len(pictures)))
    return deviation


def _padded(pictures: Floats) -> Floats:
    """With the border once more around it: `numpy.pad` takes longer than all that follows."""
    count, rows, columns = pictures.shape
    wider = np.empty((count, rows + 2, columns + 2), np.float32)
    wider[:, 1:-1, 1:-1] = pictures
    wider[:, 0], wider[:, -1] = wider[:, 1], wider[:, -2]
    wider[:, :, 0], wider[:, :, -1] = wider[:, :, 1], wider[:, :, -2]
    return wider


def _three(padded: Floats) -> Floats:
    rows = padded[:, :-2] + padded[:, 1:-1]
    rows += padded[:, 2:]
    total: Floats = rows[:, :, :-2] + rows[:, :, 1:-1]
    total += rows[:, :, 2:]
    return total


def _mean_square(left: Floats, inside: Floats) -> Doubles:
    # Sums of floats depend on their order, which differs between processors: 1/256 of a level are whole numbers.
    parts = np.rint(left * np.float32(256)).astype(np.float64)
    counted = np.maximum(inside.reshape(len(inside), -1).sum(axis=1, dtype=np.float64), 1)
    means: Doubles = _dot(parts, parts) / (counted * 65536.0)
    return means


def _dot(one: Doubles, other: Doubles) -> Doubles:
    """(P,) of (P, …): sums of products of whole numbers, which float64 holds exactly up to 2^53."""
    found: Doubles = np.einsum("pi,pi->p", one.reshape(len(one), -1), other.reshape(len(other), -1))
    return found
