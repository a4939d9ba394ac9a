"""Image files from anywhere, to pixels."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_PIXELS: Final = 2**24  # of a picture that is looked at: the detector of marks has several copies of it in float64
MAX_SIDE: Final = 2**13  # pixels of a side of it: the detector keeps tables of as many columns


def read_pixels(data: bytes, most: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """The pixels (H, W, 3), or (H, W, 4) where the file has transparency.

    Raises ValueError for what is no picture, and for one of more than `most` pixels or MAX_SIDE a side, before it is
    decoded.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            if image.width * image.height > most or max(image.size) > MAX_SIDE:
                size = f"{image.width} x {image.height} pixels"
                raise ValueError(f"it has {size}; at most {most:,} are looked at, and {MAX_SIDE:,} a side")
            return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's for a broken PNG
        raise ValueError(f"not a picture that can be read: {error}") from error


def on_white(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(..., 3) of (..., 3 or 4): what is not opaque is seen on white, rounded."""
    if pixels.shape[-1] == 3:
        return pixels
    share = pixels[..., 3:].astype(np.uint16)  # 255 * 255 + 127 is the most
    mixed = (pixels[..., :3] * share + 255 * (255 - share) + 127) // 255
    return mixed.astype(np.uint8)
