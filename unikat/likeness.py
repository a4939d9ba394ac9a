"""Whether two pictures are near copies: a perceptual hash of what is drawn, and the colours that it is drawn in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat.pictures import on_white

Pixels = npt.NDArray[np.uint8]
Measured = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]

SIDE: Final = 16  # of the square of frequencies: 256 bits
SAMPLED: Final = 4 * SIDE  # pixels a side of what is transformed
PATCHES: Final = 8  # patches of colour a side
HASH_BYTES: Final = SIDE * SIDE // 8
COLOUR_BYTES: Final = PATCHES * PATCHES * 3

ALIKE: Final = 2.0  # `Distance.apart` of a damaged part; other drawings of a style were above 5
MARGINS: Final = (0.0, 0.05, 0.1)  # of a side, that a crop may lack

# The bound of near copies, an ellipse: `python -m benchmarks near-copies` measures it (docs/provenance.md).
MOST_BITS: Final = 32  # of 256, of the same colours
MOST_COLOUR: Final = 8.0  # grey levels, of the same drawing


@dataclass(frozen=True)
class Look:
    """What a picture looks like: pHash (32 bytes), and the mean colours of 8 x 8 patches (192 bytes, RGB)."""

    hash: bytes
    colours: bytes

    @classmethod
    def of(cls, pixels: Pixels) -> Look:
        """Of pixels (H, W, 3 or 4); what is transparent is seen on white."""
        image = Image.fromarray(on_white(pixels))
        patches = image.resize((PATCHES, PATCHES), Image.Resampling.BOX)
        return cls(_hash(image), patches.tobytes())


@dataclass(frozen=True)
class Distance:
    """How far two pictures are from one another.

    `bits`: of 256, in which their hashes differ; `colour`: root of the mean square of their patches' differences, in
    grey levels; `mirrored`: whether one of them is mirrored for it.
    """

    bits: int
    colour: float
    mirrored: bool = False

    @property
    def is_near_copy(self) -> bool:
        """Whether one is a near copy of the other."""
        return self.apart <= 1

    @property
    def is_alike(self) -> bool:
        """Whether one may be a damaged part of the other."""
        return self.apart <= ALIKE

    @property
    def apart(self) -> float:
        """Both in one number: 1 at the bound."""
        return (self.bits / MOST_BITS) ** 2 + (self.colour / MOST_COLOUR) ** 2


@dataclass(frozen=True)
class Looks:
    """What a picture looks like as it is, and mirrored: what others are compared with."""

    straight: Look
    mirrored: Look

    @classmethod
    def of(cls, pixels: Pixels) -> Looks:
        """Of pixels (H, W, 3 or 4)."""
        return cls(Look.of(pixels), Look.of(np.ascontiguousarray(pixels[:, ::-1])))


def distances(looks: Looks, hashes: Pixels, colours: Pixels) -> list[Distance]:
    """From a picture, as it is or mirrored, whichever is nearer, to N others: (N, 32) and (N, 192)."""
    measured = _measured(looks, hashes, colours)
    return [_distance(measured, index) for index in range(len(hashes))]


def nearest(looks: Looks, hashes: Pixels, colours: Pixels, count: int) -> list[tuple[int, Distance]]:
    """Index and distance of the `count` others that are nearest to a picture, nearest first."""
    measured = _measured(looks, hashes, colours)
    apart = measured[2].min(axis=0)
    best = np.argpartition(apart, count)[:count] if count < len(apart) else np.arange(len(apart))
    return [(int(index), _distance(measured, int(index))) for index in best[np.argsort(apart[best], kind="stable")]]


def cropped_distance(looks: Looks, whole: Pixels, *, fine: bool = True) -> Distance:
    """From a picture to the part of another one that it looks most like: up to a tenth is missing at each side.

    The best of a coarse grid of margins is moved by single pixels while that brings it nearer, if it is to be `fine`.
    """
    image = Image.fromarray(on_white(whole))
    across, down = ([round(share * side) for share in MARGINS] for side in image.size)
    margins, best = _best(looks, image, list(product(across, down, across, down)))
    while fine:
        steps = [(place, by) for place in range(4) for by in (-1, 1)]
        moved = [tuple(each + by * (i == place) for i, each in enumerate(margins)) for place, by in steps]
        around, near = _best(looks, image, [each for each in moved if min(each) >= 0])
        if near.apart >= best.apart:
            break
        margins, best = around, near
    return best


def _best(looks: Looks, image: Image.Image, margins: list[tuple[int, ...]]) -> tuple[tuple[int, ...], Distance]:
    """Of several margins (left, top, right, bottom) those whose part is nearest, and how far that is."""
    boxes = ((left, top, image.width - right, image.height - bottom) for left, top, right, bottom in margins)
    parts = [Look.of(np.asarray(image.crop(box))) for box in boxes]
    hashes = np.frombuffer(b"".join(part.hash for part in parts), np.uint8).reshape(-1, HASH_BYTES)
    colours = np.frombuffer(b"".join(part.colours for part in parts), np.uint8).reshape(-1, COLOUR_BYTES)
    found = zip(margins, distances(looks, hashes, colours), strict=True)
    return min(found, key=lambda each: each[1].apart)


def _measured(looks: Looks, hashes: Pixels, colours: Pixels) -> Measured:
    """Bits, colour and `apart` of a picture as it is and mirrored, (2, N) each."""
    ways = [_all(look, hashes, colours) for look in (looks.straight, looks.mirrored)]
    bits, colour = np.stack([way[0] for way in ways]), np.stack([way[1] for way in ways])
    return bits, colour, (bits / MOST_BITS) ** 2 + (colour / MOST_COLOUR) ** 2


def _distance(measured: Measured, index: int) -> Distance:
    bits, colour, apart = measured
    way = int(apart[1, index] < apart[0, index])
    return Distance(int(bits[way, index]), float(colour[way, index]), mirrored=bool(way))


def _all(look: Look, hashes: Pixels, colours: Pixels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Bits and colour distances, (N,) each."""
    bits = np.bitwise_count(hashes ^ np.frombuffer(look.hash, np.uint8)).sum(axis=1, dtype=np.int64)
    apart = colours.astype(np.float32) - np.frombuffer(look.colours, np.uint8)
    # Squares of whole numbers: their sums are exact in 32 bits, in whichever order they are added.
    return bits, np.sqrt(np.einsum("ij,ij->i", apart, apart).astype(np.float64) / COLOUR_BYTES)


def _hash(image: Image.Image) -> bytes:
    """pHash: a bit says whether one of the low frequencies of the grey picture is above their median."""
    grey = np.asarray(image.convert("L").resize((SAMPLED, SAMPLED), Image.Resampling.LANCZOS)).astype(np.float64)
    low = (_cosines() @ grey @ _cosines().T).reshape(-1)
    return np.packbits(low > np.median(low)).tobytes()


@cache
def _cosines() -> npt.NDArray[np.float64]:
    """The lowest frequencies of the cosine transform (DCT-II), (SIDE, SAMPLED)."""
    places = np.arange(SAMPLED) + 0.5
    waves: npt.NDArray[np.float64] = 2 * np.cos(np.pi * np.arange(SIDE)[:, None] * places / SAMPLED)
    return waves
