"""Perceptual hashes: pictures that a person would call the same differ in few bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat_training.evaluation.extractors import Pixels

Bits = npt.NDArray[np.bool_]

SIDE = 16  # of the square of frequencies: 256 bits
SAMPLED = 4 * SIDE  # pixels a side of what is transformed
# Of the bits. Recompressed or slightly edited pictures differ in up to 3%, unrelated photographs in more than a third;
# small drawings are more alike, so the rate means something only beside that of real pictures not trained on.
NEAR = 0.10
BLOCK = 1024


def cosines() -> npt.NDArray[np.float64]:
    """The lowest frequencies of the cosine transform (DCT-II), (SIDE, SAMPLED)."""
    places = np.arange(SAMPLED) + 0.5
    waves: npt.NDArray[np.float64] = 2 * np.cos(np.pi * np.arange(SIDE)[:, None] * places / SAMPLED)
    return waves


def hashes(pixels: Pixels) -> Bits:
    """pHash of pictures (B, H, W, 3), as (B, 256): which low frequencies of the grey picture are above their median."""
    waves = cosines()
    grey = [
        np.asarray(Image.fromarray(p).convert("L").resize((SAMPLED, SAMPLED), Image.Resampling.LANCZOS)) for p in pixels
    ]
    low = waves @ np.stack(grey).astype(np.float64) @ waves.T  # (B, SIDE, SIDE)
    flat = low.reshape(len(pixels), -1)
    bits: Bits = flat > np.median(flat, axis=1, keepdims=True)
    return bits


def near_copies(bits: Bits, others: Bits) -> float:
    """The share of hashes (N, 256) that differ from one of the others (M, 256) in at most `NEAR` of the bits."""
    signs = others.astype(np.float32).T * 2 - 1  # (256, M)
    size, found = bits.shape[1], 0
    for start in range(0, len(bits), BLOCK):
        agreement = (bits[start : start + BLOCK].astype(np.float32) * 2 - 1) @ signs  # bits alike minus bits not
        found += int(((size - agreement.max(axis=1)) / 2 <= NEAR * size).sum())
    return found / len(bits)
