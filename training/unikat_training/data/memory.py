"""What decoding a picture takes, known from its header; and large ones made smaller piece by piece."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Final

from PIL import ExifTags, Image, PngImagePlugin
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

MAX_PIXELS: Final = 100_000_000  # of a picture, of which a JPEG with more than WORKED is decoded smaller
MOST: Final = 170_000_000  # bytes for the file and its decoder; what is done afterwards takes less
WORKED: Final = 2**23  # pixels; what has more is reduced before anything else is done
_METADATA: Final = 2**24  # bytes beside the pixels of a JPEG, of which Pillow keeps up to three copies
_BAND: Final = 2**18  # pixels that are converted at a time

# Bytes a pixel that decoders take beside the file, measured with Pillow 13 and 8 million pixels.
_FORMATS: Final = {"WEBP": 16, "AVIF": 12, "JPEG2000": 25}
_MODES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_OTHER: Final = 4
_ANIMATED: Final = 16  # more, where a frame is put on the one before

_SEGMENT: Final = re.compile(rb"\xff+([\x01-\xcf\xda-\xfe])(..)(.{6})", re.DOTALL)  # of a JPEG: marker, length
_FRAMES: Final = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_SCAN: Final = 0xDA
_NOTES: Final = frozenset((*range(0xE0, 0xF0), 0xFE))  # what programs have to say

PngImagePlugin.MAX_TEXT_MEMORY = 2**23  # bytes of text in a PNG, unpacked; Pillow's own limit is eight times that


class UnsafePictureError(ValueError):
    """The picture has more than MAX_PIXELS, or decoding it would take more than MOST."""


def prepare_to_load(image: Image.Image, content: bytes) -> None:
    """Sees to it that the frame that is loaded next takes little enough memory. Raises UnsafePictureError."""
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise UnsafePictureError(f"{image.width} x {image.height} pixels; at most {MAX_PIXELS} are decoded")
    size = image.size
    needed = _jpeg_bytes(image, content) if isinstance(image, JpegImageFile) else _bytes(image, pixels)
    _compare(needed + len(content), "progressive JPEG" if image.format in ("JPEG", "MPO") else image.format, size)


def check_icon(content: bytes) -> None:
    """Refuses an icon before Pillow opens it, and decodes the first picture in it by doing so."""
    for size in _icon_sizes(content) if content[:4] == b"\0\0\1\0" else ():
        _compare(3 * _OTHER * abs(size[0] * size[1]) + len(content), "icon", size)


def _compare(needed: int, kind: str | None, size: tuple[int, int]) -> None:
    if needed > MOST:
        raise UnsafePictureError(
            f"{kind} of {size[0]} x {size[1]} pixels: decoding takes {needed // 10**6} MB; at most "
            f"{MOST // 10**6} MB are used; make it smaller, or save it as an ordinary JPEG"
        )


def reduced(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """A loaded picture as what `convert` makes of its bands, by a whole factor smaller where it is large."""
    factor = next(n for n in range(1, 100) if image.width * image.height <= WORKED * n * n)
    rows = max(1, _BAND // image.width // factor) * factor  # a multiple: no pixel of the result is in two bands
    whole: Image.Image | None = None
    for top in range(0, image.height, rows):
        band = convert(image.crop((0, top, image.width, min(top + rows, image.height))))
        band = band.reduce(factor) if factor > 1 else band
        whole = whole or Image.new(band.mode, (band.width, -(-image.height // factor)))
        whole.paste(band, (0, top // factor))
    assert whole
    return whole


def orientation(image: Image.Image) -> int:
    """How a camera was held, as EXIF numbers it."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF is common in good pictures, and its parser raises nearly anything
        return 1


def _bytes(image: Image.Image, pixels: int) -> int:
    each = _FORMATS.get(image.format or "", _MODES.get(image.mode, _OTHER))
    if image.format != "TIFF" and getattr(image, "n_frames", 1) > 1:  # `is_animated` may deny frames that are counted
        each += _ANIMATED
    if isinstance(image, TiffImageFile):
        tile = _tag(image, 322) * _tag(image, 323)  # one may be larger than the picture
        return pixels * each + tile * 4
    return pixels * each


def _tag(image: TiffImageFile, number: int) -> int:
    value = image.tag_v2.get(number, 0)
    return value if isinstance(value, int) else 0


def _icon_sizes(content: bytes) -> Iterator[tuple[int, int]]:
    """Of the pictures in an icon, by their own headers: its directory says at most 256 x 256."""
    for entry in range(6, min(len(content), 6 + 16 * int.from_bytes(content[4:6], "little")), 16):
        start = int.from_bytes(content[entry + 12 : entry + 16], "little")
        head = content[start : start + 24]
        if len(head) == 24:
            png = head.startswith(b"\x89PNG")
            yield struct.unpack_from(">II" if png else "<ii", head, 16 if png else 4)


def _jpeg_bytes(image: JpegImageFile, content: bytes) -> int:
    """Also asks for a smaller picture, which the decoder makes of the same coefficients."""
    pixels, (metadata, buffered) = image.width * image.height, _jpeg_head(content)
    if metadata > _METADATA:
        raise UnsafePictureError(f"{metadata} bytes of metadata in a JPEG; at most {_METADATA} are read")
    scale = next((scale for scale in (1, 2, 4) if pixels <= WORKED * scale * scale), 8)
    image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
    coefficients = int(2 * pixels * _samples(image)) if buffered else 0
    return image.width * image.height * _OTHER + 3 * metadata + coefficients


def _samples(image: JpegImageFile) -> float:
    """Coefficients a pixel: 3 of a picture in colour, 1.5 where colours have half the resolution."""
    layers = [(int(h), int(v)) for _, h, v, _ in image.layer]
    whole = max((h for h, _ in layers), default=1) * max((v for _, v in layers), default=1)
    return sum(h * v for h, v in layers) / max(1, whole)


def _jpeg_head(content: bytes) -> tuple[int, bool]:
    """Bytes of metadata, and whether the decoder keeps all coefficients: it does where there are several scans."""
    at, metadata, components, progressive = 2, 0, 1, False
    while found := _SEGMENT.search(content, at):
        marker, length, first = found[1][0], int.from_bytes(found[2]), found[3]
        if marker == _SCAN:
            return metadata, progressive or first[0] < components
        if marker in _FRAMES:
            progressive, components = marker > 0xC1, first[5]
        elif marker in _NOTES:
            metadata += length
        at = found.start(2) + length
    return metadata, True
