"""By how much a pixel may change unseen.

All in whole numbers of 8 or 16 bits, over the pixels of all pictures in a row: many at a time, and exact.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

LUMA: Final = (77, 150, 29)  # of 256: Rec. 601
OPAQUE: Final = 255
FINE: Final = 16  # parts of a grey level that limits and changes are counted in
# Parts of a grey level by which a pixel may change: what is around it is flat, beside an edge, or uneven itself.
FLAT: Final = 23  # rounds to one grey level
BESIDE: Final = 71  # rounds to four
MOST: Final = 160
_LEVEL: Final = 2  # span of what still looks flat
_SMOOTH: Final = 5  # span of a soft gradient, which hides nothing
_UNEVEN: Final = 6  # parts that a span of one grey level more allows
_BLACK: Final = 8  # below it there may be one grey level more: CIEDE2000 of two stays below 1
_BORDER: Final = 2
_KEPT: Final = 1 << 17  # pixels up to which operands are made once: those of the pictures that are marked at once


class Room(NamedTuple):
    """What pictures may take: `limit` (N, H, W), parts that each colour may change by; `low` and `high` (N, H, W),
    parts that the luma then changes by, down and up, where a colour cannot go below 0 or above 255."""

    limit: Bytes
    low: NDArray[np.uint16]
    high: NDArray[np.uint16]


def planes(pixels: Bytes) -> list[Bytes]:
    """(N, H, W, channels) to a (N, H, W) for each channel."""
    return [np.ascontiguousarray(pixels[..., channel]) for channel in range(pixels.shape[-1])]


def luma(channels: list[Bytes]) -> Bytes:
    """(N, H, W) whole numbers 0 to 255; what is not opaque is seen on white."""
    grey = _weighted(channels[:3])
    grey += np.uint16(128)
    grey >>= np.uint16(8)
    if len(channels) > 3:
        alpha = channels[3].astype(np.uint32)
        mixed = (grey * alpha + np.uint32(255) * (np.uint32(255) - alpha) + np.uint32(127)) // np.uint32(255)
        return mixed.astype(np.uint8)
    return grey.astype(np.uint8)


def _weighted(colours: list[Bytes]) -> NDArray[np.uint16]:
    """The luma times 256: below 2¹⁶."""
    total = colours[0].astype(np.uint16)
    total *= np.uint16(LUMA[0])
    for colour, weight in zip(colours[1:], LUMA[1:], strict=True):
        total += np.multiply(colour.astype(np.uint16), np.uint16(weight))
    return total


def room(channels: list[Bytes], grey: Bytes) -> Room:
    """What pictures of these channels and this luma may take; nothing where they are not opaque."""
    limit = visibility(grey)
    if len(channels) > 3:
        limit *= channels[3] == OPAQUE
    most = np.full(grey.shape, MOST // FINE, np.uint8)
    low, high = (
        _weighted([np.minimum(np.minimum(each, most) * np.uint8(FINE), limit) for each in colours])
        for colours in (channels[:3], [~each for each in channels[:3]])
    )
    low >>= np.uint16(8)
    high >>= np.uint16(8)
    return Room(limit, low, high)


def visibility(grey: Bytes) -> Bytes:
    """(N, H, W) parts of a grey level by which a pixel may change, from the spans of the 3 × 3 pixels around it.

    A span is the largest grey level less the smallest. The least of the spans that a pixel is part of counts as
    unevenness: beside an edge, where a change would be seen on the flat side, it is 0. Edges nearby, the largest of
    them, mask a little; so does black.
    """
    count, height, width = grey.shape
    wide = width + 2 * _BORDER
    flat = _bordered(grey).reshape(-1)
    span = _around(np.maximum, flat, wide) - _around(np.minimum, flat, wide)
    shape = (count, height + 2 * _BORDER, wide)
    inside = (slice(None), slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    largest = np.minimum(_around(np.maximum, span, wide), _all(span.size, _LEVEL + BESIDE - FLAT))
    largest = np.maximum(largest, _all(span.size, _LEVEL)) + np.uint8(FLAT - _LEVEL)
    least = np.minimum(_around(np.minimum, span, wide), _all(span.size, _SMOOTH + (MOST - FLAT) // _UNEVEN))
    uneven = (np.maximum(least, _all(span.size, _SMOOTH)) - np.uint8(_SMOOTH)) * np.uint8(_UNEVEN)
    found = np.minimum(largest + uneven, _all(span.size, MOST)).reshape(shape)[inside]
    black = np.full(grey.shape, _BLACK, np.uint8)
    limit: Bytes = np.maximum(found, black - np.minimum(grey, black) + np.uint8(FLAT))
    return limit


def _bordered(grey: Bytes) -> Bytes:
    """With its border repeated outwards, so that rows can be joined to one another."""
    count, height, width = grey.shape
    found = np.empty((count, height + 2 * _BORDER, width + 2 * _BORDER), np.uint8)
    found[:, _BORDER:-_BORDER, _BORDER:-_BORDER] = grey
    found[:, _BORDER:-_BORDER, :_BORDER], found[:, _BORDER:-_BORDER, -_BORDER:] = grey[:, :, :1], grey[:, :, -1:]
    found[:, :_BORDER], found[:, -_BORDER:] = found[:, [_BORDER]], found[:, [-_BORDER - 1]]
    return found


def _around(join: np.ufunc, values: Bytes, wide: int) -> Bytes:
    """`join` over 3 × 3 of pictures whose rows of `wide` pixels follow one another; the outermost are not valid."""
    found = values.copy()
    join(found[wide:], values[:-wide], out=found[wide:])
    join(found[:-wide], values[wide:], out=found[:-wide])
    joined = found.copy()
    join(joined[1:], found[:-1], out=joined[1:])
    join(joined[:-1], found[1:], out=joined[:-1])
    return joined


def _all(size: int, value: int) -> Bytes:
    """An operand as long as the other one, only to be read: NumPy is slower with a single number."""
    return _many(value)[:size] if size <= _KEPT else np.full(size, value, np.uint8)


@lru_cache
def _many(value: int) -> Bytes:
    return np.full(_KEPT, value, np.uint8)
