"""Where a mark lives: bands of DCT coefficients, and the carriers that a key makes of them.

A band is a set of frequencies in half cycles an image, so that a scaled picture keeps them. `chips` coefficients
with keyed signs are one *projection*, which carries one bit of the code at a lattice of keyed offset (spread-transform
dither modulation: Chen & Wornell, "Quantization index modulation", IEEE Trans. Inf. Theory 47(4), 2001).
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unikat.watermark.code import CHECK_BITS, RATE

Floats = NDArray[np.float32]

LABEL: Final = b"unikat mark 1"
MIN_SIZE: Final = 64  # pixels of the shorter side from which a payload is carried
MEDIUM_SIZE: Final = 128  # from which a finer lattice carries it
LARGE_SIZE: Final = 256  # from which it is twice as long
MIN_PRESENCE: Final = 24  # from which there is a mark at all
UNDONE: Final = 0.35  # by how much the highest frequencies of a picture that was scaled to half are raised
GROUP: Final = 8  # projections of about one radius
DITHERS: Final = 256  # offsets of a lattice: multiples of 1/256 of its step
MARGIN: Final = 1 / 16  # share of a side at each end where the weight of pixels is half: what a crop takes first
RAMP: Final = 1 / 32  # share on either side of it over which the weight grows
INNER: Final = 1 - 2 * MARGIN  # share of a side that a cosine runs over
_AMPLITUDE: Final = 256  # of the whole-number cosines
_EXACT: Final = 2**24 - 1  # whole numbers up to here are exact in float32


@dataclass(frozen=True)
class Band:
    """Frequencies of a kind of picture, and what they carry."""

    name: str
    payload: int  # bytes
    inner: int  # smallest radius, half cycles an image
    chips: int  # coefficients a projection
    bits: int  # projections: one for each bit of the code
    step: int  # of the lattice, in 1/256 grey levels
    hardening: int  # rounds against JPEG and scaling: a large picture needs none


# The larger a picture, the less of its low frequencies is lost to JPEG and scaling, and the finer a lattice will do.
PRESENCE: Final = Band("presence", 0, 3, 4, 40, 480, 0)
SMALL: Final = Band("small", 4, 5, 4, RATE * (32 + CHECK_BITS), 360, 2)
MEDIUM: Final = Band("medium", 4, 5, 4, RATE * (32 + CHECK_BITS), 250, 0)
LARGE: Final = Band("large", 8, 5, 4, RATE * (64 + CHECK_BITS), 200, 0)
BANDS: Final = (SMALL, MEDIUM, LARGE, PRESENCE)


def band_of(height: int, width: int) -> Band | None:
    """The band that a picture of this size is marked in; None for one that is too small for any mark."""
    shorter = min(height, width)
    if shorter >= LARGE_SIZE:
        return LARGE
    if shorter >= MEDIUM_SIZE:
        return MEDIUM
    if shorter >= MIN_SIZE:
        return SMALL
    return PRESENCE if shorter >= MIN_PRESENCE else None


@dataclass(frozen=True)
class Carriers:
    """A band under a key. Its coefficients are in a block of `rows` × `rows`, flattened."""

    band: Band
    rows: int
    cells: NDArray[np.intp]  # (chips, bits): coefficients of each projection
    signs: NDArray[np.float64]  # (chips, bits): -1 or 1
    dither: NDArray[np.float64]  # (bits,): 0 to DITHERS - 1
    ranks: NDArray[np.intp]  # (bits,): groups of projections, by radius
    owners: NDArray[np.intp]  # (rows · rows,): the projection of each coefficient
    weights: Floats  # (rows · rows,): its sign, 0 outside the band


def carriers(key: bytes, band: Band) -> Carriers:
    """Carriers under `key`.

    Random words are HMAC-SHA-256(key, "unikat mark 1 <band> <use> " + counter in four bytes), four 64-bit words a
    digest, all big-endian. The words of "permutation" sort the band's coefficients, by radius, within groups of
    `GROUP` projections; each `chips` in a row make one, and the words of "order" sort these. So what loses high
    frequencies loses some bits rather than a part of all. The top bit of each word of "signs" and the top byte of
    "dither" are these.
    """
    ordered = positions(band)
    rows = int(ordered.max()) + 1
    shape = (band.bits, band.chips)
    total = band.chips * band.bits
    groups = np.arange(total) // (band.chips * GROUP)
    ordered = ordered[np.lexsort((_words(key, band, b"permutation", total), groups))]
    order = _words(key, band, b"order", band.bits).argsort(kind="stable")
    cells = np.ascontiguousarray((ordered[:, 0] * rows + ordered[:, 1]).reshape(shape)[order].T)
    signs = (_words(key, band, b"signs", total) >> np.uint64(63)).astype(np.float64).reshape(cells.shape) * 2 - 1
    dither = (_words(key, band, b"dither", band.bits) >> np.uint64(56)).astype(np.float64)
    owners, weights = np.zeros(rows * rows, np.intp), np.zeros(rows * rows, np.float32)
    owners[cells], weights[cells] = np.arange(band.bits), signs
    return Carriers(band, rows, cells, signs, dither, order // GROUP, owners, weights)


def _words(key: bytes, band: Band, use: bytes, count: int) -> NDArray[np.uint64]:
    label = b"%s %s %s " % (LABEL, band.name.encode(), use)
    blocks = (hmac.digest(key, label + block.to_bytes(4, "big"), hashlib.sha256) for block in range(-(-count // 4)))
    return np.frombuffer(b"".join(blocks), ">u8")[:count].astype(np.uint64)


def positions(band: Band) -> NDArray[np.intp]:
    """(chips · bits, 2) frequencies of a band, row and column, by radius from `inner` outwards, then by row."""
    total = band.chips * band.bits
    reach = math.isqrt(2 * total + 4 * band.inner**2) + 2
    u, v = np.mgrid[0:reach, 0:reach]
    found = np.column_stack([(u * u + v * v).ravel(), u.ravel(), v.ravel()])
    found = found[found[:, 0] >= band.inner**2]
    return found[np.lexsort((found[:, 1], found[:, 0]))][:total, 1:].astype(np.intp)


@dataclass(frozen=True)
class Basis:
    """The DCT-II of one side in whole numbers: `table` (rows, size) is amplitude · taper · cos(π u t), where t runs
    from 0 to 1 between the margins.

    `over_pixels`, `over_rows`: whole numbers up to these in a vector keep every sum of its product with the table, or
    with the table's transpose, within what float32 holds exactly, whatever the order of summation.
    """

    table: Floats
    amplitude: int
    over_pixels: int
    over_rows: int


@lru_cache(maxsize=64)
def basis(rows: int, size: int) -> Basis:
    """Row 0 is divided by √2, so that all rows have one length."""
    amplitude = min(_AMPLITUDE, 1 << (_AMPLITUDE * 256 // size).bit_length() - 1)
    return _rounded(_cosines(rows, size) * amplitude, amplitude)


@lru_cache(maxsize=64)
def pooled(rows: int, size: int, pool: int) -> Basis:
    """The basis of cells of `pool` pixels: what a change of all of a cell's pixels adds."""
    whole = basis(rows, size)
    table = np.pad(whole.table, ((0, 0), (0, -size % pool))).astype(np.float64)
    return _rounded(table.reshape(rows, -1, pool).sum(axis=2), whole.amplitude)


@lru_cache(maxsize=64)
def halved(rows: int, size: int) -> Basis:
    """The basis of half the size, of pictures of `size` that are scaled to it (bicubic), then sharpened by `UNDONE`."""
    amplitude = basis(rows, size).amplitude
    half = size // 2
    raised = 1 + UNDONE * (np.arange(rows)[:, None] / half) ** 2
    return _rounded(raised * _cosines(rows, half) @ _bicubic(half, size) * (size / half * amplitude), amplitude)


def _rounded(values: NDArray[np.float64], amplitude: int) -> Basis:
    table = np.rint(values).astype(np.float32)
    table.setflags(write=False)
    sums = [int(np.abs(table).sum(axis=axis, dtype=np.float64).max()) for axis in (1, 0)]
    return Basis(table, amplitude, _EXACT // sums[0], _EXACT // sums[1])


def _cosines(rows: int, size: int) -> NDArray[np.float64]:
    return np.array([[_entry(u, (x + 0.5) / size) for x in range(size)] for u in range(rows)])


def _entry(u: int, place: float) -> float:
    return taper(place) * (math.cos(math.pi * u * (place - MARGIN) / INNER) if u else math.sqrt(0.5))


def _bicubic(half: int, size: int) -> NDArray[np.float64]:
    """(half, size): how much of each pixel is in each of a smaller side (Keys' kernel with a = -1/2, as wide)."""
    scale = size / half
    away = np.abs((np.arange(size) + 0.5) / scale - (np.arange(half)[:, None] + 0.5))
    inner = (1.5 * away - 2.5) * away * away + 1
    outer = ((2.5 - 0.5 * away) * away - 4) * away + 2
    weights = np.where(away < 1, inner, np.where(away < 2, outer, 0))
    shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return shares


def taper(place: float) -> float:
    """Weight of a pixel by its place in a side, 0 to 1.

    Its squares at equal distances from the margin sum to 1, so that the rows stay orthogonal (Malvar, "Signal
    Processing with Lapped Transforms", 1992).
    """
    inside = (min(place, 1 - place) - MARGIN) / RAMP
    return 0.0 if inside <= -1 else 1.0 if inside >= 1 else math.sin(math.pi / 4 * (1 + inside))


def between_margins(size: int) -> slice:
    """The pixels of a side between its margins."""
    margin = round(size * MARGIN)
    return slice(margin, size - margin)
