"""Decodes any ordinary picture to upright RGB, with alpha where it has some, and fits it into a square."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import Final, Literal, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from unikat_training.data import svg
from unikat_training.data.formats import HEAD, other_picture, way_out, why_no_picture
from unikat_training.data.memory import UnsafePictureError, check_icon, orientation, prepare_to_load, reduced

# What decoders are tried, whatever the file's name says. Not EPS: that would start Ghostscript on a stranger's file.
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "TGA", "ICO", "JPEG2000")
FRAMES: Final = 30  # of an animation, among which the first is looked for that shows something

_GREY_STEPS: Final = {"L;2": 85, "L;4": 17}  # by PNG's raw mode: what a level of few bits is in 8

Fit = Literal["crop", "pad"]
Colour = tuple[int, int, int]
WHITE: Final[Colour] = (255, 255, 255)


class BrokenPictureError(ValueError):
    """The file is not a picture that can be decoded."""


class OtherFormatError(ValueError):
    """The file is a picture, of a format that is not decoded here."""


def decode(content: bytes) -> Image.Image:
    """The picture, upright, as RGB; as RGBA where something of it is transparent, black where nothing can be seen.

    Of an animation the first frame that is not of one colour; of a very large picture a smaller one (memory.py).
    Raises BrokenPictureError, UnsafePictureError or OtherFormatError, and nothing else.
    """
    try:
        if svg.is_svg(content):
            return _cleared_rgb_or_rgba(svg.render(content))
        check_icon(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn about metadata that is not used here
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                prepare_to_load(image, content)
                _scale_transparent_level(image)
                _seek_shown(image, content)
                image.load()
                turned = orientation(image)
                small = reduced(image, _8_bit_rgb_or_rgba)
        return _cleared_rgb_or_rgba(_upright(small, turned))
    except (Image.DecompressionBombError, svg.HeavyDrawingError) as error:
        raise UnsafePictureError(str(error)) from error
    except UnidentifiedImageError as error:  # its own message holds a memory address
        if what := other_picture(content[:HEAD]):
            raise OtherFormatError(way_out(what)) from error
        raise BrokenPictureError(why_no_picture(content)) from error
    except (BrokenPictureError, UnsafePictureError):
        raise
    except Exception as error:
        # Decoders of broken files raise nearly anything (struct.error, IndexError, MemoryError, ...).
        raise BrokenPictureError(f"{type(error).__name__}: {error}".removesuffix(": ")) from error


def fit(image: Image.Image, size: int, how: Fit, background: Colour | None = WHITE) -> npt.NDArray[np.uint8]:
    """A picture as (size, size, 3) on `background`; (size, size, 4) with its alpha where that is None.

    `crop` keeps the middle square, `pad` the whole picture, with the background (or nothing) around it.
    """
    image = image.convert("RGBA") if background is None else on_colour(image, background)
    width, height = image.size
    if how == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return cleared(np.asarray(_resize(image, (size, size), (left, top, left + side, top + side)), dtype=np.uint8))
    scale = size / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = Image.new(image.mode, (size, size), background or (0, 0, 0, 0))
    square.paste(_resize(image, inner, (0, 0, width, height)), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return cleared(np.asarray(square, dtype=np.uint8))


def cleared(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Images (..., 3 or 4), black where they are nothing: resizing leaves a trace of colour there."""
    return pixels if pixels.shape[-1] == 3 else np.where(pixels[..., 3:] == 0, 0, pixels).astype(np.uint8)


def on_colour(image: Image.Image, colour: Colour) -> Image.Image:
    """A picture as RGB, its transparent parts on a colour."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, colour), image).convert("RGB")


def fingerprint(image: Image.Image) -> bytes:
    """Equal for two pictures of the same size and pixels, whatever files they came from."""
    head = f"{image.width}x{image.height}x{len(image.getbands())}:"
    return hashlib.sha256(head.encode() + image.tobytes()).digest()


def _resize(image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]) -> Image.Image:
    # reducing_gap: photos are first reduced by a whole factor, five times faster and hardly different.
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _upright(image: Image.Image, turned: int) -> Image.Image:
    image.getexif()[ExifTags.Base.Orientation] = turned
    return ImageOps.exif_transpose(image) if turned in range(2, 9) else image


def _to_8_bit(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise BrokenPictureError("floating-point pixels have no agreed range; convert the picture to 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise BrokenPictureError("32-bit pixels have no agreed range; convert the picture to 8 or 16 bits")
    grey = Image.fromarray((values // 257).astype(np.uint8))  # 65535 -> 255
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def _scale_transparent_level(image: Image.Image) -> None:
    """Pillow scales grey of 2 and 4 bits to 8, and not the level that a PNG says is transparent."""
    raw_mode = image.tile[0][3] if image.format == "PNG" and isinstance(image, ImageFile) and image.tile else None
    if raw_mode in _GREY_STEPS and "transparency" in image.info:
        image.info["transparency"] *= _GREY_STEPS[raw_mode]


def _8_bit_rgb_or_rgba(image: Image.Image) -> Image.Image:
    image = _to_8_bit(image)
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _cleared_rgb_or_rgba(image: Image.Image) -> Image.Image:
    """RGB where all is opaque; black where nothing can be seen, which must not tell pictures apart."""
    if image.mode == "RGB":
        return image
    low, _ = image.getchannel("A").getextrema()
    if low == 255:
        return image.convert("RGB")
    if low == 0:
        hidden = image.getchannel("A").point(lambda alpha: 255 * (alpha == 0))
        image.paste((0, 0, 0, 0), mask=hidden)
    return image


def _seek_shown(image: Image.Image, content: bytes) -> None:
    """Goes to the first frame that is not of one colour; many animations begin with an empty one."""
    # Of a JPEG the others are no frames, but depths and gains of the same picture.
    frames = 1 if isinstance(image, JpegImageFile) else min(getattr(image, "n_frames", 1), FRAMES)
    for frame in range(frames if frames > 1 else 0):
        image.seek(frame)
        prepare_to_load(image, content)
        ranges = cast(tuple[tuple[int, int], ...], image.convert("RGBA").getextrema())
        if any(low != high for low, high in ranges):
            return
    if frames > 1:
        image.seek(0)
