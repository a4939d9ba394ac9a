"""Moving a picture's projections to the lattice points of its bits, by no more than a pixel may move unseen.

The same bits come out everywhere: products are of whole numbers that their type holds exactly (`projection`), and what
lies between the products is elementwise and correctly rounded (IEEE 754: + − × ÷ √ and rounding).

The mark's frequencies are low, so most of the work is done on cells of `pool` × `pool` pixels. A cell's change is a
share of what its pixels may take, and each pixel takes this share of its own.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unikat.watermark import jpeg
from unikat.watermark.layout import Carriers, Floats, basis, between_margins, halved, pooled
from unikat.watermark.projection import Doubles, Projector, Spreader, lattice_step
from unikat.watermark.visibility import FINE, MOST, Bytes, Room, luma, planes, room

ROUNDS: Final = 6
# How much the picture in whole grey levels counts, what JPEG makes of it, and half its size: parts of `FINE`.
_SHOWN: Final = np.float32(6)
_COMPRESSED: Final = np.float32(10)
_HALVED: Final = np.float32(6)
_STEEPEST: Final = 2.0  # times the average that a pixel may take of a change: more, and rounds diverge
_SLACK: Final = 1.15  # cells in a side for each row of the table
# A cell's change at most, with the last round's momentum, and what a picture's is at most as JPEG leaves it.
_AHEAD: Final = math.ceil(MOST * (1 + 2 * (ROUNDS - 2) / (ROUNDS + 1)))
_SEEN: Final = 255 * int(_COMPRESSED + _SHOWN)
_NOTHING: Final = np.float32(0)
_ONE: Final = np.float32(1)
_AT_ONCE: Final = 1 << 15  # pixels that the processor's cache holds the arrays of


class Limits(NamedTuple):
    """(N, H, W) each: the luma's lowest and highest change, in parts of `FINE`, and its share of a change."""

    lowest: Floats
    highest: Floats
    shares: Floats


class Marker:
    """What marks pictures of one size."""

    def __init__(self, carriers: Carriers, height: int, width: int) -> None:
        """`pool`: the largest power of two for which cells can tell the band's frequencies."""
        rows = carriers.rows
        sides = basis(rows, height), basis(rows, width)
        self.step = lattice_step(carriers, height, width)
        self.whole = Projector(carriers, *sides)
        self.hardening = carriers.band.hardening
        if self.hardening:
            self.halved = Projector(carriers, halved(rows, height), halved(rows, width))
        self.back = Spreader(carriers, *sides, self.step)
        self.pool = 1
        while min(height, width) // (2 * self.pool) >= rows * _SLACK:
            self.pool *= 2
        cells = pooled(rows, height, self.pool), pooled(rows, width, self.pool)
        self.cells = Projector(carriers, *cells)
        self.from_cells = Spreader(carriers, *cells, self.step)

    def wanted(self, grey: Floats, offset: Doubles) -> Doubles:
        """(N, bits): what projections lack, in parts of `FINE`. `offset` (N, bits): of each lattice, in steps."""
        centred = grey - _means(grey)
        place = self.whole.exact(centred)
        goal = (np.rint(place / self.step - offset) + offset) * self.step
        missing = (goal - place) * FINE
        if self.hardening:
            missing += (place - self.halved.exact(centred)) * _HALVED
        return missing


def _means(grey: Floats) -> Floats:
    """(N, 1, 1) means between the margins, in whole grey levels."""
    inner = grey[:, between_margins(grey.shape[1]), between_margins(grey.shape[2])]
    means: Floats = np.rint(inner.mean(axis=(1, 2), dtype=np.float64, keepdims=True)).astype(np.float32)
    return means


def limits(low: Floats, high: Floats) -> Limits:
    """A pixel's share of a change goes by the root of the room that it has, and is 1 on average."""
    roots = np.sqrt(low + high)
    roots *= np.float32(64)
    np.rint(roots, out=roots)
    mean = roots.sum(axis=(1, 2), dtype=np.float64, keepdims=True) / roots[0].size
    roots /= np.maximum(mean, 1).astype(np.float32)
    return Limits(-low, high, np.minimum(roots, np.float32(_STEEPEST)))


def _kept(change: Floats, within: Limits) -> Floats:
    """In place."""
    np.maximum(change, within.lowest, out=change)
    return np.minimum(change, within.highest, out=change)


def of_cells(within: Limits, marker: Marker, wanted: Doubles) -> Floats:
    """(N, H, W) changes of cells, by projected gradient with Nesterov's momentum."""
    change = ahead = _kept(marker.from_cells.spread(wanted.copy(), within.shares), within)
    for turn in range(1, ROUNDS):
        missing = wanted - marker.cells.fast(ahead, _AHEAD)
        before, change = change, marker.from_cells.spread(missing, within.shares)
        change += ahead
        _kept(change, within)
        if turn < ROUNDS - 1:
            ahead = change - before
            ahead *= np.float32(turn / (turn + 3))
            ahead += change
            np.rint(ahead, out=ahead)
    return change


def hardened(grey: Floats, change: Floats, within: Limits, marker: Marker, wanted: Doubles) -> Floats:
    """(N, H, W) changes of pixels, made with the picture in view as it is in whole grey levels and after JPEG."""
    for _ in range(marker.hardening):
        shown = change * np.float32(1 / FINE)
        np.rint(shown, out=shown)
        shown += grey
        np.clip(shown, 0, 255, out=shown)
        seen = jpeg.rounded(shown)
        seen -= grey
        seen *= _COMPRESSED
        shown -= grey
        shown *= _SHOWN
        seen += shown
        move = marker.back.spread(wanted - marker.whole.fast(seen, _SEEN), within.shares)
        move += change
        change = _kept(move, within)
    return change


def shares_of_room(change: Floats, within: Limits) -> Floats:
    """(N, H, W): changes as shares of the lowest and the highest, -1 to 1."""
    down = np.minimum(change, _NOTHING)
    down /= np.minimum(within.lowest, -_ONE)
    up = np.maximum(change, _NOTHING)
    up /= np.maximum(within.highest, _ONE)
    return np.subtract(up, down, out=up)


def _pooled(values: NDArray[np.uint16], pool: int) -> Floats:
    """(N, H, W) to the means of cells; beyond the border there is nothing."""
    height, width = values.shape[1:]
    beyond = (-height % pool, -width % pool)
    if any(beyond):
        values = np.pad(values, ((0, 0), (0, beyond[0]), (0, beyond[1])))
    # A pixel has 160 parts at most: uint16 holds the sum of 16 x 16, pictures from about 1280 px on have larger cells.
    total, side = values.astype(np.uint32) if pool > 16 else values, pool
    while side > 1:
        total = total[:, ::2] + total[:, 1::2]
        total = total[..., ::2] + total[..., 1::2]
        side //= 2
    found = total.astype(np.float32)
    found *= np.float32(1 / pool**2)
    return found


def _apart(cells: Floats, pool: int, height: int, width: int) -> Floats:
    """(N, cells, cells) to all pixels of each cell, (N, H, W)."""
    count, rows, columns = cells.shape
    wide = np.empty((count, rows, pool, columns * pool), np.float32)
    for at in range(pool):
        wide[:, :, 0, at::pool] = cells
    wide[:, :, 1:] = wide[:, :, :1]
    return wide.reshape(count, rows * pool, columns * pool)[:, :height, :width]


def embed(pixels: Bytes, marker: Marker, offset: Doubles) -> Bytes:
    """(N, H, W, 3 or 4) with the lattice offsets (N, bits) of their bits."""
    marked = pixels.copy()
    count = max(1, _AT_ONCE // (pixels.shape[1] * pixels.shape[2]))
    for first in range(0, len(pixels), count):
        some = slice(first, first + count)
        channels = planes(pixels[some])
        levels = _levels(channels, marker, offset[some])
        up = np.maximum(levels, 0).astype(np.uint8)
        down = np.maximum(-levels, 0).astype(np.uint8)
        for channel, colours in enumerate(channels[:3]):
            raised = colours + np.minimum(up, ~colours)
            marked[some, ..., channel] = raised - np.minimum(down, raised)
    return marked


def _levels(channels: list[Bytes], marker: Marker, offset: Doubles) -> Floats:
    """(N, H, W) whole grey levels that all colours of a pixel change by."""
    grey = luma(channels)
    may: Room = room(channels, grey)
    wide = grey.astype(np.float32)
    wanted = marker.wanted(wide, offset)
    within = limits(_pooled(may.low, marker.pool), _pooled(may.high, marker.pool))
    change = of_cells(within, marker, wanted)
    shares = _apart(shares_of_room(change, within), marker.pool, *grey.shape[1:])
    if marker.hardening:
        within = limits(may.low.astype(np.float32), may.high.astype(np.float32))
        change = np.maximum(shares, _NOTHING) * within.highest
        change -= np.minimum(shares, _NOTHING) * within.lowest
        np.rint(change, out=change)
        shares = shares_of_room(hardened(wide, change, within, marker, wanted), within)
    levels: Floats = shares * may.limit
    levels *= np.float32(1 / FINE)
    return np.rint(levels, out=levels)
