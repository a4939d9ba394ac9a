"""Perceptual hashes: pictures that a person would call the same differ in few bits."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat_training.evaluation.extractors import Pixels

Hashes = npt.NDArray[np.uint8]  # (N, len(OFFSETS), SIDE² / 8), eight bits a byte

SIDE = 16  # of the square of frequencies: 256 bits
SAMPLED = 4 * SIDE  # pixels a side of what is transformed
# Where a picture is looked at, in sampled pixels: as it is, and moved by up to a 32nd of its side in each direction.
# A hash as fine as this one takes a drawing for another one when it is moved by a single pixel.
OFFSETS = sorted(product(range(-2, 3), repeat=2), key=lambda offset: offset != (0, 0))
# Of the bits. Recompressed or slightly edited pictures differ in up to 3%, unrelated photographs in more than a third;
# small drawings are more alike, so the rate means something only beside that of real pictures not trained on.
NEAR = 0.10
MOST = 2_000  # pictures whose hashes are compared, evenly out of all: their share is right to a percent
BLOCK = 1024


def cosines(offset: int = 0) -> npt.NDArray[np.float64]:
    """The lowest frequencies of the cosine transform (DCT-II) of what is moved by `offset`, (SIDE, SAMPLED).

    What comes free repeats the border.
    """
    places = np.arange(SAMPLED) + 0.5
    waves: npt.NDArray[np.float64] = 2 * np.cos(np.pi * np.arange(SIDE)[:, None] * places / SAMPLED)
    moved = np.zeros((SIDE, SAMPLED))
    for target in range(SAMPLED):
        moved[:, min(max(target + offset, 0), SAMPLED - 1)] += waves[:, target]
    return moved


def hashes(pixels: Pixels) -> Hashes:
    """pHash of pictures (B, H, W, 3) at all `OFFSETS`, the first as they are.

    A bit says whether one of the low frequencies of the grey picture is above their median.
    """
    grey = [
        np.asarray(Image.fromarray(p).convert("L").resize((SAMPLED, SAMPLED), Image.Resampling.LANCZOS)) for p in pixels
    ]
    stacked = np.stack(grey).astype(np.float64)  # (B, SAMPLED, SAMPLED)
    low = [cosines(down) @ stacked @ cosines(right).T for down, right in OFFSETS]
    flat = np.stack(low, axis=1).reshape(len(pixels), len(OFFSETS), SIDE * SIDE)
    return np.packbits(flat > np.median(flat, axis=2, keepdims=True), axis=2)


def near_copies(found: Hashes, others: Hashes) -> float:
    """The share of pictures (N) that at one of the offsets differ from one of the others (M), as these are, in at most
    `NEAR` of the bits."""
    found = found[np.linspace(0, len(found) - 1, min(MOST, len(found))).astype(np.int64)]
    signs = signed(others[:, :1])[:, 0].T  # (256, M)
    near = 0
    for start in range(0, len(found), BLOCK):
        block = signed(found[start : start + BLOCK])  # (b, offsets, 256)
        # bits alike minus bits not, of the nearest of the others at the best of the offsets
        agreement = np.max([(block[:, i] @ signs).max(axis=1) for i in range(block.shape[1])], axis=0)  # (b,)
        near += int(((len(signs) - agreement) / 2 <= NEAR * len(signs)).sum())
    return near / len(found)


def signed(found: Hashes) -> npt.NDArray[np.float32]:
    return np.unpackbits(found, axis=2).astype(np.float32) * 2 - 1
