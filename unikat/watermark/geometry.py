"""What may have been done to a picture: the coefficients that it would have had before.

A picture that was scaled keeps its coefficients, for frequencies are counted over the whole picture. A cropped one is
put back where it may have been cut from, its border repeated outwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unikat.watermark.layout import INNER, MARGIN, between_margins, taper

Doubles = NDArray[np.float64]

SCALES: Final = np.concatenate([[1.0], 1.012 ** np.arange(1, 31), 1.012 ** -np.arange(1.0, 31)])  # of contrast
BLURS: Final = (0.0, 0.2, 0.35, 0.6, 1.0)  # by how much the highest frequencies of a picture are raised again
_WINDOWS: Final = (0.975, 0.95, 0.925, 0.9)  # shares of a side that may be left of it
_NATIVE: Final = (64, 96, 128, 192, 256, 384, 512, 768, 1024)  # sides that a picture may have been cut from
_CELLS: Final = 256  # places that a window is tried at, in a side


@dataclass(frozen=True)
class Window:
    """The part of a side that is left: where it begins, and its length, as shares of the side."""

    start: float = 0.0
    length: float = 1.0


WHOLE: Final = Window()


def blocks(grey: Doubles, rows: int, windows: tuple[tuple[Window, ...], tuple[Window, ...]]) -> Doubles:
    """(V · H, rows, rows): coefficients of (height, width) grey levels, in each pair of windows of the two sides.

    Of what differs from the mean between the margins: the taper would let a constant into all of them.
    """
    height, width = grey.shape
    vertical = np.stack([cosines(rows, height, window) for window in windows[0]])
    horizontal = np.stack([cosines(rows, width, window) for window in windows[1]])
    found = (vertical @ grey)[:, None] @ horizontal.transpose(0, 2, 1)[None]
    of_constant = vertical.sum(axis=2)[:, None, :, None] * horizontal.sum(axis=2)[None, :, None, :]
    found -= found[..., -1:, -1:] * of_constant
    return found[..., :-1, :-1].reshape(-1, rows, rows)


def cosines(rows: int, size: int, window: Window) -> Doubles:
    """(rows + 1, size): what each pixel of a side adds to the coefficient of each frequency, and last to the mean."""
    if window == WHOLE:
        return _whole(rows, size)
    length = max(size, round(size / window.length))
    table = _whole(rows, length)
    source = np.clip(((np.arange(length) + 0.5) / length - window.start) / window.length * size - 0.5, 0, size - 1)
    left = np.floor(source).astype(np.intp)
    share = source - left
    gathered = np.zeros((size, rows + 1))
    np.add.at(gathered, left, (table * (1 - share)).T)
    np.add.at(gathered, np.minimum(left + 1, size - 1), (table * share).T)
    return gathered.T


@lru_cache(maxsize=64)  # a picture needs 40, of 2.5 MB at most: windows of one length share theirs
def _whole(rows: int, length: int) -> Doubles:
    """(rows + 1, length): `cosines` of a side that is there as a whole."""
    place = (np.arange(length) + 0.5) / length
    weight = np.array([taper(each) for each in place.tolist()])
    table = np.sqrt(2) * np.cos(np.pi * np.arange(rows)[:, None] * (place - MARGIN) / INNER) * weight / (length * INNER)
    table[0] /= np.sqrt(2)
    between = between_margins(length)
    mean = np.zeros((1, length))
    mean[0, between] = 1 / (between.stop - between.start)
    return np.concatenate([table, mean])


def mirrored(found: Doubles) -> Doubles:
    """Coefficients of the pictures mirrored left to right."""
    return found * np.where(np.arange(found.shape[-1]) % 2, -1.0, 1.0)


def sharpened(found: Doubles, by: float, height: int, width: int) -> Doubles:
    """Coefficients with what scaling down took from the high frequencies."""
    u, v = np.ogrid[: found.shape[-2], : found.shape[-1]]
    raised: Doubles = found * ((1 + by * (u / height) ** 2) * (1 + by * (v / width) ** 2))
    return raised


def darkened(pixels: NDArray[np.uint8], scale: float) -> Iterator[NDArray[np.uint8]]:
    """The picture before its brightness, and before its contrast, was raised; values at an end of the range stay."""
    wide = pixels.astype(np.float64)
    ends = (pixels == 0) | (pixels == 255)
    for pivot in (0.0, 128.0):
        before = pixels.copy()
        before[..., :3] = np.where(ends, wide, np.rint((wide - pivot) / scale + pivot))[..., :3]
        yield before


def crops(height: int, width: int) -> Iterator[tuple[tuple[Window, ...], tuple[Window, ...]]]:
    """Windows that the picture may be: cut from a picture of a usual size, or cut and scaled."""
    shares: list[tuple[float, float]] = [(share, share) for share in _WINDOWS]
    for native in _NATIVE:
        scale = native / max(height, width)
        if 1 < scale <= 1.25:
            shares.insert(0, (height / native, width / native))
    for vertical, horizontal in shares:
        if vertical <= 1 and horizontal <= 1:
            yield _places(vertical, height), _places(horizontal, width)


def _places(share: float, size: int) -> tuple[Window, ...]:
    """Windows of one length, from one end of the side to the other."""
    left = round(size / share) - size
    count = 1 + min(left, round((1 - share) * _CELLS)) if left else 1
    return tuple(Window((1 - share) * number / max(1, count - 1), share) for number in range(count))
