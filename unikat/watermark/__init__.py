"""An invisible mark in the pixels of a picture: which artwork it is, for who has the key (docs/provenance.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unikat.watermark import code, detection, embedding
from unikat.watermark.detection import FALSE_ALARM, Detection
from unikat.watermark.embedding import Marker
from unikat.watermark.layout import BANDS, DITHERS, MIN_PRESENCE, MIN_SIZE, Band, Carriers, band_of, carriers

__all__ = ["FALSE_ALARM", "MIN_PRESENCE", "MIN_SIZE", "Detection", "Watermark", "payload_bytes"]

KEY_BYTES: Final = 32
_SIZES: Final = 64  # of pictures whose tables are kept


def payload_bytes(height: int, width: int) -> int:
    """Bytes of a digest that a picture of a size carries; 0 where it carries none."""
    band = band_of(height, width)
    return band.payload if band else 0


class Watermark:
    """Marks pictures and finds the mark, under one key. May be used by several threads."""

    def __init__(self, key: bytes) -> None:
        """`key`: 32 secret bytes. Raises ValueError for another length."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a watermark's key has {KEY_BYTES} bytes, not {len(key)}")
        self._carriers = lru_cache(maxsize=None)(lambda band: carriers(key, band))
        self._marker = lru_cache(maxsize=_SIZES)(self._make_marker)

    def embed(self, pixels: NDArray[np.uint8], digests: Sequence[bytes]) -> NDArray[np.uint8]:
        """`pixels` (N, H, W, 3 or 4) with the mark of the artworks of `digests`, N SHA-256; of the same shape.

        A picture carries the first 4 bytes of its digest, from 256 px on the shorter side 8, below 64 px nothing but
        that the mark is there; below 24 px it stays as it is. Each depends on its pixels, its digest and the key
        alone, to the bit. Alpha stays, and so do the colours of what is not opaque.

        Raises ValueError for pixels of another shape or type, and for a digest that is no SHA-256.
        """
        _check(pixels, 4, (3, 4))
        if len(digests) != len(pixels):
            raise ValueError(f"{len(pixels)} pictures need as many digests, not {len(digests)}")
        if any(len(digest) != hashlib.sha256().digest_size for digest in digests):
            raise ValueError("a digest is a SHA-256: 32 bytes")
        height, width = pixels.shape[1:3]
        band = band_of(height, width)
        if band is None or not len(pixels):
            return pixels.copy()
        words = code.coded([digest[: band.payload] for digest in digests], band.bits)
        offset = (words * (DITHERS / 2) + self._carriers(band).dither) / DITHERS
        return embedding.embed(pixels, self._marker(band, height, width), offset)

    def detect(self, pixels: NDArray[np.uint8], *, thorough: bool = True) -> Detection:
        """What one picture (H, W, 1, 3 or 4) says, which may have been damaged.

        `thorough`: where it says nothing as it is, changes of tone, mirroring, blur and crops are undone, in some
        tenths of a second for a small picture. Raises ValueError for pixels of another shape or type.
        """
        return self._search(pixels, detection.blind, thorough)

    def chances(self, pixels: NDArray[np.uint8]) -> list[float]:
        """The `chance` of each of many pictures (N, H, W, 1, 3 or 4) as it is: `detect` that is not thorough.

        Raises ValueError for pixels of another shape or type.
        """
        _check(pixels, 4, (1, 3, 4))
        band = band_of(*pixels.shape[1:3])
        if band is None:
            return [1.0] * len(pixels)
        return detection.chances(pixels, self._carriers(band))

    def matches(self, pixels: NDArray[np.uint8], digest: bytes, *, thorough: bool = True) -> Detection:
        """Whether one picture is the artwork of `digest`: finds much weaker marks than `detect`, for it reads nothing.

        Raises ValueError for pixels of another shape or type, and for a digest that is no SHA-256.
        """
        if len(digest) != hashlib.sha256().digest_size:
            raise ValueError("a digest is a SHA-256: 32 bytes")
        return self._search(pixels, detection.known(digest), thorough)

    def _search(self, pixels: NDArray[np.uint8], read: detection.Read, thorough: bool) -> Detection:
        _check(pixels, 3, (1, 3, 4))
        usable = [band for band in BANDS if self._carriers(band).rows <= min(pixels.shape[:2])]
        own = band_of(*pixels.shape[:2])
        if own not in usable:
            return Detection(None, 1.0)
        ordered = sorted(usable, key=lambda band: band != own)
        return detection.search(pixels, [self._carriers(band) for band in ordered], read, thorough)

    def _make_marker(self, band: Band, height: int, width: int) -> Marker:
        found: Carriers = self._carriers(band)
        return Marker(found, height, width)


def _check(pixels: NDArray[np.uint8], axes: int, channels: tuple[int, ...]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != axes or pixels.shape[-1] not in channels:
        shape = "(N, H, W, " if axes == 4 else "(H, W, "
        allowed = " or ".join(str(count) for count in channels)
        raise ValueError(f"pixels: must be uint8 of shape {shape}{allowed}), not {pixels.dtype} of {pixels.shape}")
