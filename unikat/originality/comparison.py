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
    """Of training pictures (…, L, L) and (…, 2, C, C), each with a drawing laid on it in W ways: (…, W).

    `grey` is (…, W, L, L), `colours` (2, …, W, C, C). Root of the mean square of what damages do not explain; 0 for a
    copy. `inside` (…, W, L, L) and (…, W, C, C) is 1 for cells that count. The same float32 on every machine.
    """
    wide, hues = training[0][..., None, :, :], np.moveaxis(training[1], -3, 0)[..., None, :, :]
    factor = brightness(grey, wide, inside[0])
    lit = np.minimum(wide * factor, np.float32(255))
    # What is made brighter may stop at any level on its way: white stays white.
    apart = np.maximum(grey - np.maximum(lit, wide), np.minimum(lit, wide) - grey)
    apart -= FREE
    apart -= MASKED * unevenness(grey, wide)
    left = np.maximum(apart, 0) * inside[0]
    # Where red is white already, only green and blue become brighter: the colour changes by half of that.
    side = LUMA // CHROMA
    light = wide.reshape(*wide.shape[:-2], CHROMA, side, CHROMA, side).sum(axis=(-3, -1)) / np.float32(side**2)
    paler = light * np.maximum(factor - 1, 0) / 2
    free = FREE_COLOUR + MASKED * unevenness(colours, hues) + paler
    coloured = np.maximum(np.abs(colours - hues) - free, 0) * inside[1]
    squares = _mean_square(left, inside[0]) + _mean_square(coloured, inside[1]).sum(axis=0)
    found: Floats = np.sqrt(squares).astype(np.float32)
    return found


def brightness(grey: Floats, training: Floats, inside: Floats) -> Floats:
    """By how much the drawing is brighter than the training picture, (..., 1, 1): by least squares."""
    counts = (training >= _FROM) & (training <= _TO) & (grey <= _SEEN_TO) & (inside > 0)
    wide, seen = np.where(counts, training, 0).astype(np.float64), grey.astype(np.float64)
    over, under = _dot(wide, seen), _dot(wide, wide)
    factor = np.clip(np.where(under > 0, over / np.maximum(under, 1), 1.0), DARKEST, BRIGHTEST)
    found: Floats = factor.astype(np.float32)[..., None, None]
    return found


def unevenness(*pictures: Floats) -> Floats:
    """(..., S, S): root of the mean variance of the 3 × 3 cells around each, of the pictures (..., S, S) together."""
    total = sum(map(_variances, pictures))
    deviation: Floats = np.sqrt(total / np.float32(81 * len(pictures)))
    return deviation


def _variances(pictures: Floats) -> Floats:
    """81 times the variance of the 3 × 3 cells around each."""
    padded = _padded(pictures)
    total: Floats = 9 * _three(padded * padded)
    total -= _three(padded) ** 2
    return total


def _padded(pictures: Floats) -> Floats:
    """With the border once more around it: `numpy.pad` takes longer than all that follows."""
    *count, rows, columns = pictures.shape
    wider = np.empty((*count, rows + 2, columns + 2), np.float32)
    wider[..., 1:-1, 1:-1] = pictures
    wider[..., 0, :], wider[..., -1, :] = wider[..., 1, :], wider[..., -2, :]
    wider[..., 0], wider[..., -1] = wider[..., 1], wider[..., -2]
    return wider


def _three(padded: Floats) -> Floats:
    rows = padded[..., :-2, :] + padded[..., 1:-1, :]
    rows += padded[..., 2:, :]
    total: Floats = rows[..., :-2] + rows[..., 1:-1]
    total += rows[..., 2:]
    return total


def _mean_square(left: Floats, inside: Floats) -> Doubles:
    # Sums of floats depend on their order, which differs between processors: 1/256 of a level are whole numbers.
    parts = np.rint(left * np.float32(256)).astype(np.float64)
    counted = np.maximum(inside.sum(axis=(-2, -1), dtype=np.float64), 1)
    means: Doubles = _dot(parts, parts) / (counted * 65536.0)
    return means


def _dot(one: Doubles, other: Doubles) -> Doubles:
    """(...) of (..., S, S): sums of products of whole numbers, which float64 holds exactly up to 2^53."""
    found: Doubles = np.einsum("...ij,...ij->...", one, other)
    return found
