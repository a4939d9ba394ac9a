"""Pixels to bytes of image files, by encoders that keep their bytes: `unikat.encoders` has their names.

Before its first use an encoder encodes test pictures; the SHA-256 of the files, its fingerprint, must be the one that
is written here. So another version of a library never changes the bytes of a name: it is an error that names both.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

from unikat.encoders import FORMAT_OF, WITH_ALPHA
from unikat_worker.png import encode_png

Pixels: TypeAlias = npt.NDArray[np.uint8]  # (N, H, W, channels): 1 (grey), 3 (RGB) or 4 (RGBA, not premultiplied)


class EncoderError(RuntimeError):
    """An encoder that this worker does not have, or whose bytes are not the ones that its name stands for."""


@dataclass(frozen=True)
class Encoder:
    """`write` makes a file of each image; `library` says what decides about its bytes; `fingerprint` pins them."""

    write: Callable[[Pixels, Sequence[bytes]], list[bytes]]
    library: Callable[[], str]
    fingerprint: str


def encode(pixels: Pixels, encoder: str, packets: Sequence[bytes] = ()) -> list[bytes]:
    """Encode a batch: uint8 of shape (N, H, W, channels), channels 1, 3 or 4; one file an image, in their order.

    An image's bytes follow from its pixels, the encoder's name and its XMP packet (`packets` has one for each image, or
    nothing), whatever else is in the batch. Any number of threads may call this. Raises EncoderError as `verify`,
    ValueError for other shapes and for JPEG with four channels.
    """
    verify(encoder)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3, 4) or 0 in pixels.shape[1:]:
        raise ValueError(f"pixels: must be uint8 of shape (N, H, W, 1, 3 or 4), not {pixels.dtype} {pixels.shape}")
    if pixels.shape[3] == 4 and FORMAT_OF[encoder] not in WITH_ALPHA:
        raise ValueError(f"{encoder}: the format has no transparency; ask for PNG or WebP")
    return _ENCODERS[encoder].write(np.ascontiguousarray(pixels), packets or [b""] * len(pixels))


@cache
def verify(encoder: str) -> str:
    """The encoder's fingerprint, computed at the first call (3 to 60 ms) and found to be the pinned one.

    Raises EncoderError for a name that this worker does not know, and where the libraries give other bytes.
    """
    known = _ENCODERS.get(encoder)
    if known is None:
        raise EncoderError(f"no encoder {encoder!r} in this worker (it has {', '.join(_ENCODERS)}); update the worker")
    found = fingerprint(encoder)
    if found != known.fingerprint:
        raise EncoderError(
            f"{encoder}: {known.library()} gives other bytes ({found[:12]}) than {encoder} stands for "
            f"({known.fingerprint[:12]}); install the versions of requirements/constraints.txt"
        )
    return found


def fingerprint(encoder: str) -> str:
    """SHA-256 of the files that an encoder makes of the test pictures with the libraries as they are."""
    digest = hashlib.sha256()
    for channels in (1, 3, 4) if FORMAT_OF[encoder] in WITH_ALPHA else (1, 3):
        for file in _ENCODERS[encoder].write(_test_pictures(channels), [b""] * 3):
            digest.update(len(file).to_bytes(8, "big") + file)
    return digest.hexdigest()


def _test_pictures(channels: int) -> Pixels:
    """A gradient, flat shapes, and noise over a gradient, of 3 × 116 × 132 pixels: by integers alone.

    Even in grey the noise is more than half of deflate's window of 32 KB, in RGB more than all of it.
    """
    y, x, channel = np.indices((116, 132, channels), dtype=np.uint32)
    gradient = x + y * (channel + 1)
    shapes = np.where((x - 60) ** 2 + (y - 50) ** 2 < 1500, 200 - 60 * channel, np.where(y > 90, 30, 240 - 9 * channel))
    noise = ((x * 7919 + y * 104729 + channel * 1299709) ** 2 * 2654435761 >> 24) % 13
    return np.stack([gradient, shapes, gradient // 2 + noise]).astype(np.uint8)


def _lossless_webp(pixels: Pixels, packets: Sequence[bytes]) -> list[bytes]:
    files = []
    for image, packet in zip(pixels[..., 0] if pixels.shape[3] == 1 else pixels, packets, strict=True):
        buffer = io.BytesIO()
        # `exact` keeps the colours of transparent pixels: without it, lossless holds for what is seen only.
        options = {"lossless": True, "quality": 0, "method": 1, "exact": True, "xmp": packet}
        Image.fromarray(image).save(buffer, "WEBP", **options)
        files.append(buffer.getvalue())
    return files


def _by_simplejpeg(pixels: Pixels, packets: Sequence[bytes]) -> list[bytes]:
    from simplejpeg import encode_jpeg  # most workers never write a JPEG

    colours, subsampling = ("GRAY", "Gray") if pixels.shape[3] == 1 else ("RGB", "444")
    files = (encode_jpeg(image, 95, colours, subsampling, fastdct=False) for image in pixels)
    return [_with_xmp(file, packet) for file, packet in zip(files, packets, strict=True)]


def _with_xmp(jpeg: bytes, packet: bytes) -> bytes:
    """A JPEG with an XMP packet behind its first segment, JFIF's."""
    if not packet:
        return jpeg
    head = 4 + int.from_bytes(jpeg[4:6], "big")
    content = b"http://ns.adobe.com/xap/1.0/\0" + packet
    return jpeg[:head] + b"\xff\xe1" + (2 + len(content)).to_bytes(2, "big") + content + jpeg[head:]


def _deflate() -> str:
    import deflate

    return f"deflate {deflate.__version__} (libdeflate)"


def _pillow(feature: str) -> Callable[[], str]:
    return lambda: f"Pillow {PIL.__version__} with {feature} {features.version(feature)}"


def _simplejpeg() -> str:
    import simplejpeg

    return f"simplejpeg {simplejpeg.__version__}"


# A changed option or library is a new name here and in `unikat.encoders`; an entry that was released never changes.
_ENCODERS: Final[dict[str, Encoder]] = {
    "png-3": Encoder(encode_png, _deflate, "c3804311033af220058c1ad19f5a26b28e516fde7126de22311483a97d9f957b"),
    "webp-2": Encoder(
        _lossless_webp,
        _pillow("webp"),
        "726eae2f068b2de321d83d9f2535ad79b476cab271279753d5964612d8d83426",
    ),
    "jpeg-2": Encoder(_by_simplejpeg, _simplejpeg, "554c036c5d43add0a9bcb111d004d6a76935ae113e757b21cbd1d28647681be1"),
}
