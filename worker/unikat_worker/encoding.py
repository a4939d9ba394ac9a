"""Pixels to bytes of image files, by encoders that keep their bytes: `unikat.encoders` has their names.

Before its first use an encoder encodes test pictures; the SHA-256 of the files, its fingerprint, must be the one that
is written here. So another version of a library never changes the bytes of a name: it is an error that names both.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

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

    write: Callable[[Pixels], list[bytes]]
    library: Callable[[], str]
    fingerprint: str


def encode(pixels: Pixels, encoder: str) -> list[bytes]:
    """Encode a batch: uint8 of shape (N, H, W, channels), channels 1, 3 or 4; one file an image, in their order.

    An image's bytes follow from its pixels and the encoder's name, whatever else is in the batch. Any number of threads
    may call this. Raises EncoderError as `verify`, ValueError for other shapes and for JPEG with four channels.
    """
    verify(encoder)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3, 4) or 0 in pixels.shape[1:]:
        raise ValueError(f"pixels: must be uint8 of shape (N, H, W, 1, 3 or 4), not {pixels.dtype} {pixels.shape}")
    if pixels.shape[3] == 4 and FORMAT_OF[encoder] not in WITH_ALPHA:
        raise ValueError(f"{encoder}: the format has no transparency; ask for PNG or WebP")
    return _ENCODERS[encoder].write(np.ascontiguousarray(pixels))


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
        for file in _ENCODERS[encoder].write(_test_pictures(channels)):
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


def _by_pillow(name: str, **options: Any) -> Callable[[Pixels], list[bytes]]:  # noqa: ANN401  (Pillow's own options)
    def write(pixels: Pixels) -> list[bytes]:
        files = []
        for image in pixels[..., 0] if pixels.shape[3] == 1 else pixels:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, name, **options)
            files.append(buffer.getvalue())
        return files

    return write


def _by_simplejpeg(pixels: Pixels) -> list[bytes]:
    from simplejpeg import encode_jpeg  # most workers never write a JPEG

    colours, subsampling = ("GRAY", "Gray") if pixels.shape[3] == 1 else ("RGB", "444")
    return [encode_jpeg(image, 95, colours, subsampling, fastdct=False) for image in pixels]


def _isal() -> str:
    import isal

    return f"isal {isal.__version__} (ISA-L {isal.ISAL_VERSION})"


def _pillow(feature: str) -> Callable[[], str]:
    return lambda: f"Pillow {PIL.__version__} with {feature} {features.version(feature)}"


def _simplejpeg() -> str:
    import simplejpeg

    return f"simplejpeg {simplejpeg.__version__}"


# A changed option or library is a new name here and in `unikat.encoders`; an entry that was released never changes.
_ENCODERS: Final[dict[str, Encoder]] = {
    # Pillow's wheels compress with the system's libz, so that these bytes depend on more than what pip installs: they
    # are those of zlib 1.2.13.
    "png-1": Encoder(
        _by_pillow("PNG", compress_level=1),
        _pillow("zlib"),
        "5d416d7da67a565fe339e95ddcde8c6af9477d4f6ee9a516f698f30d59331538",
    ),
    "png-2": Encoder(encode_png, _isal, "365dcafff02b1f30a3a5542220988a707e1b85e47375e79492817e55f63debd9"),
    # `exact` keeps the colours of transparent pixels: without it, lossless holds for what is seen only.
    "webp-1": Encoder(
        _by_pillow("WEBP", lossless=True, quality=50, method=2, exact=True),
        _pillow("webp"),
        "c83c430288d3d5841a297814a8b577cb2033bddc6b7573c87e7eece615539f47",
    ),
    "webp-2": Encoder(
        _by_pillow("WEBP", lossless=True, quality=0, method=1, exact=True),
        _pillow("webp"),
        "726eae2f068b2de321d83d9f2535ad79b476cab271279753d5964612d8d83426",
    ),
    "jpeg-1": Encoder(
        _by_pillow("JPEG", quality=95, subsampling=0),
        _pillow("libjpeg_turbo"),
        "9726fa65492f1ce578e968d4dadb3a208b5437a490d6e017cefc08d4d91cb885",
    ),
    "jpeg-2": Encoder(_by_simplejpeg, _simplejpeg, "554c036c5d43add0a9bcb111d004d6a76935ae113e757b21cbd1d28647681be1"),
}
