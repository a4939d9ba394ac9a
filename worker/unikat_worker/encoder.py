"""Pixels to bytes of an image file: the same pixels give the same bytes."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat.v1.studio_pb2 import ImageFormat

# Pillow's name, media type, options. PNG level 1: 4 times faster than the default and a tenth larger on drawn art.
_FORMATS: Final[dict[int, tuple[str, str, dict[str, Any]]]] = {
    ImageFormat.IMAGE_FORMAT_PNG: ("PNG", "image/png", {"compress_level": 1}),
    ImageFormat.IMAGE_FORMAT_WEBP: ("WEBP", "image/webp", {"lossless": True, "quality": 50, "method": 2}),
    ImageFormat.IMAGE_FORMAT_JPEG: ("JPEG", "image/jpeg", {"quality": 95, "subsampling": 0}),
}


def media_type(image_format: int) -> str:
    """For example "image/png". Raises ValueError for a format that this version does not know."""
    return _format(image_format)[1]


def encode(pixels: npt.NDArray[np.uint8], image_format: int) -> bytes:
    """Encode an image of shape (height, width, 3). Raises ValueError for an unknown format."""
    name, _, options = _format(image_format)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, name, **options)
    return buffer.getvalue()


def _format(image_format: int) -> tuple[str, str, dict[str, Any]]:
    try:
        return _FORMATS[image_format or ImageFormat.IMAGE_FORMAT_PNG]
    except KeyError:
        raise ValueError(f"image_format: must be one of {sorted(_FORMATS)}, not {image_format}") from None
