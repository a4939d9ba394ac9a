"""Unikat's watermark, and those of other libraries where they are installed, by one protocol.

`pip install scikit-image opencv-python-headless PyWavelets` and then, because their requirements name other builds of
OpenCV, `pip install --no-deps blind-watermark==0.4.4 invisible-watermark==0.2.0` (the latter imports PyTorch).
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.provenance.pictures import BATCH, Pixels, scaled
from unikat.watermark import Watermark, payload_bytes

Bits = npt.NDArray[np.uint8]

MARK: Final = Watermark(hashlib.sha256(b"benchmarks provenance").digest())


def digest(number: int) -> bytes:
    """Of the artwork that a picture is taken for."""
    return hashlib.sha256(b"%d" % number).digest()


def payload(number: int, size: int) -> Bits:
    """The bits that a picture of a size carries: as many for every library."""
    return np.unpackbits(np.frombuffer(digest(number)[: payload_bytes(size, size)], np.uint8))


class Mark(Protocol):
    """A way of marking pictures."""

    name: str
    smallest: int

    def embed(self, plain: Pixels) -> Pixels:
        """Pictures (N, H, W, 3), number i with `payload(i)`."""

    def read(self, picture: Pixels, size: int) -> Bits | None:
        """The bits of a picture that was of `size` before it was damaged; None where nothing is found."""


class Unikat:
    name = "Unikat"
    smallest = 64

    def embed(self, plain: Pixels) -> Pixels:
        """In batches, as workers do."""
        digests = [digest(number) for number in range(len(plain))]
        batches = range(0, len(plain), BATCH)
        return np.concatenate([MARK.embed(plain[i : i + BATCH], digests[i : i + BATCH]) for i in batches])

    def read(self, picture: Pixels, size: int) -> Bits | None:
        """Without knowing the size."""
        found = MARK.detect(picture).payload
        return None if found is None else np.unpackbits(np.frombuffer(found, np.uint8))


class InvisibleWatermark:
    """ShieldMnt's library, which Stable Diffusion's scripts use; refuses less than 256 × 256 pixels."""

    smallest = 256

    def __init__(self, method: str) -> None:
        self._library: Any = import_module("imwatermark")
        self._method = method
        self.name = f"invisible-watermark, {method}"

    def embed(self, plain: Pixels) -> Pixels:
        """One by one."""
        marked = []
        for number, picture in enumerate(plain):
            encoder = self._library.WatermarkEncoder()
            encoder.set_watermark("bits", payload(number, len(picture)).tolist())
            marked.append(encoder.encode(picture[..., ::-1].copy(), self._method)[..., ::-1])
        return np.stack(marked)

    def read(self, picture: Pixels, size: int) -> Bits | None:
        """Scaled back to its size, where it is of another."""
        decoder = self._library.WatermarkDecoder("bits", len(payload(0, size)))
        return np.asarray(decoder.decode(_back(picture, size)[..., ::-1].copy(), self._method), np.uint8)


class BlindWatermark:
    name = "blind-watermark"
    smallest = 64

    def __init__(self) -> None:
        self._library: Any = import_module("blind_watermark")
        self._library.bw_notes.close()

    def embed(self, plain: Pixels) -> Pixels:
        """One by one."""
        marked = []
        for number, picture in enumerate(plain):
            mark = self._library.WaterMark(processes=1)
            mark.read_img(img=picture[..., ::-1].copy())
            mark.read_wm(payload(number, len(picture)).astype(np.bool_), mode="bit")
            marked.append(np.clip(np.rint(mark.embed()), 0, 255).astype(np.uint8)[..., ::-1])
        return np.stack(marked)

    def read(self, picture: Pixels, size: int) -> Bits | None:
        """Scaled back to its size, where it is of another."""
        mark = self._library.WaterMark(processes=1)
        found = mark.extract(
            embed_img=_back(picture, size)[..., ::-1].copy(), wm_shape=len(payload(0, size)), mode="bit"
        )
        return (np.asarray(found) >= 0.5).astype(np.uint8)


def _back(picture: Pixels, size: int) -> Pixels:
    return picture if picture.shape[:2] == (size, size) else scaled(picture, (size, size))


def marks() -> list[Mark]:
    """Unikat's first; others where they can be imported."""
    found: list[Mark] = [Unikat()]
    try:
        found += [InvisibleWatermark("dwtDct"), InvisibleWatermark("dwtDctSvd")]
    except ImportError as error:
        print(f"without invisible-watermark: {error}")
    try:
        found.append(BlindWatermark())
    except ImportError as error:
        print(f"without blind-watermark: {error}")
    return found
