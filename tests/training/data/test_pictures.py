"""Any ordinary picture becomes upright RGB, or RGBA where something of it is transparent."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.training.data.preparing import picture, png
from unikat_training.data.memory import UnsafePictureError
from unikat_training.data.pictures import (
    WHITE,
    BrokenPictureError,
    OtherFormatError,
    decode,
    fingerprint,
    fit,
    on_colour,
)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_every_mode_of_png_keeps_its_colours(mode: str) -> None:
    image = picture(1).convert(mode)
    assert decode(saved(image)).tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_every_common_format_is_read(kind: str) -> None:
    flat = Image.new("RGB", (16, 16), (200, 40, 90))
    found = np.asarray(decode(saved(flat, kind)), dtype=int)
    assert np.abs(found - (200, 40, 90)).max() <= 3


def test_16_bits_are_scaled_and_not_cut_off() -> None:
    values = np.array([[0, 257 * 7, 65535, 40000]], dtype=np.uint16)
    assert np.asarray(decode(saved(Image.fromarray(values))))[0, :, 0].tolist() == [0, 7, 255, 155]


def test_floating_point_pixels_are_refused_and_not_guessed() -> None:
    image = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    with pytest.raises(BrokenPictureError, match="no agreed range"):
        decode(saved(image, "TIFF"))


def test_cmyk_becomes_the_same_colour() -> None:
    found = np.asarray(decode(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")), dtype=int)
    assert np.abs(found - (255, 0, 0)).max() <= 4


def test_transparency_is_kept_and_what_is_hidden_under_it_is_not() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    decoded = decode(saved(image))
    assert np.asarray(decoded)[0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 128]]
    assert np.asarray(on_colour(decoded, WHITE))[0].tolist() == [[255, 255, 255], [127, 127, 127]]


def test_a_transparent_palette_colour_shows_the_background() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    decoded = decode(saved(image, transparency=0))
    assert np.asarray(on_colour(decoded, (9, 8, 7)))[0].tolist() == [[9, 8, 7], [0, 0, 255]]


def test_alpha_that_hides_nothing_is_none() -> None:
    assert decode(saved(picture(1).convert("RGBA"))).mode == "RGB"


def test_an_animation_that_begins_with_an_empty_frame_shows_the_next() -> None:
    frames = [Image.new("RGBA", (14, 14)), picture(1, (14, 14)).convert("RGBA")]
    content = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert decode(content).convert("RGB").tobytes() == picture(1, (14, 14)).tobytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (bytes(100), "zeros only"),
        (b"<!DOCTYPE html><title>403", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"hello", "not a picture of a known format"),
    ],
)
def test_what_is_no_picture_is_said_to_be_what_it_is(content: bytes, said: str) -> None:
    with pytest.raises(BrokenPictureError, match=said):
        decode(content)


@pytest.mark.parametrize(
    ("content", "name"), [(b"\0\0\0\x18ftypheic" + bytes(50), "HEIC"), (b"\xff\x0a" + bytes(50), "JPEG XL")]
)
def test_a_format_without_a_decoder_is_named_whatever_the_file_is_called(content: bytes, name: str) -> None:
    with pytest.raises(OtherFormatError, match=f"{name}: not read here; save it as PNG or JPEG"):
        decode(content)


SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 20">{}</svg>'


@pytest.mark.parametrize("before", ["", "\ufeff", '<?xml version="1.0"?>\n<!-- drawn -->\n'])
def test_a_drawing_in_svg_is_rendered_with_its_alpha(before: str) -> None:
    image = decode((before + SVG.format('<rect width="10" height="10" fill="red"/>')).encode())
    assert (image.mode, image.size) == ("RGBA", (512, 1024))
    assert [image.getpixel((256, y)) for y in (100, 900)] == [(255, 0, 0, 255), (0, 0, 0, 0)]


def test_a_drawing_never_shows_other_files(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "secret.png")
    inside = base64.b64encode(SVG.format(f'<image href="{tmp_path}/secret.png"/>').encode()).decode()
    for href in (f"{tmp_path}/secret.png", f"file://{tmp_path}/secret.png", f"data:image/svg+xml;base64,{inside}"):
        for name in ("href", "xlink:href"):
            drawing = SVG.format(f'<image {name} = "{href}" width="10" height="10"/>')
            with pytest.raises(BrokenPictureError, match="refers to other files"):
                decode(drawing.encode())


def test_a_broken_drawing_is_broken() -> None:
    with pytest.raises(BrokenPictureError):
        decode(SVG.format("<rect").encode())


def test_with_alpha_what_is_around_a_padded_picture_is_nothing() -> None:
    pixels = fit(Image.new("RGB", (20, 10), "red"), 20, "pad", None)
    assert pixels[0, 0].tolist() == [0, 0, 0, 0]
    assert pixels[10, 10].tolist() == [255, 0, 0, 255]


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(content))[0, 0].tolist() == [255, 0, 0]


def test_a_turned_photo_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise
    image = picture(1)
    expected = image.transpose(Image.Transpose.ROTATE_270)
    assert decode(saved(image, exif=exif)).tobytes() == expected.tobytes()


def test_damaged_exif_does_not_lose_the_picture() -> None:
    image = picture(1)
    assert decode(saved(image, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")).tobytes() == image.tobytes()


def test_a_decompression_bomb_is_refused_before_it_goes_off() -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(UnsafePictureError):
        decode(bomb)


def test_a_picture_just_above_the_limit_is_refused() -> None:
    with pytest.raises(UnsafePictureError, match="at most"):
        decode(saved(Image.new("1", (10_001, 10_000))))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_raises_anything_but_broken_or_unsafe(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]))
    content = bytearray(saved(picture(1, (9, 7)), kind))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    try:
        image = decode(bytes(content[:cut]))
    except (BrokenPictureError, UnsafePictureError, OtherFormatError):
        return
    assert image.mode in ("RGB", "RGBA")


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([8, 17, 32]))
def test_any_shape_fits_any_size(width: int, height: int, size: int) -> None:
    image = picture(1, (width, height))
    for how in ("crop", "pad"):
        pixels = fit(image, size, "crop" if how == "crop" else "pad")
        assert pixels.shape == (size, size, 3)
        assert pixels.dtype == np.uint8


def test_cropping_keeps_the_middle_and_padding_all_of_it() -> None:
    image = Image.new("RGB", (48, 16), "red")
    image.paste(Image.new("RGB", (16, 16), "blue"), (16, 0))

    cropped, padded = fit(image, 16, "crop"), fit(image, 48, "pad")

    assert np.unique(cropped.reshape(-1, 3), axis=0).tolist() == [[0, 0, 255]]
    assert padded[0, 0].tolist() == [255, 255, 255]  # above
    assert [padded[24, x].tolist() for x in (4, 24, 44)] == [[255, 0, 0], [0, 0, 255], [255, 0, 0]]


def test_a_very_long_picture_can_be_padded() -> None:
    assert fit(Image.new("RGB", (5000, 1), "red"), 16, "pad").shape == (16, 16, 3)


def test_a_fingerprint_knows_pixels_and_not_files() -> None:
    image = decode(png(1))
    assert fingerprint(image) == fingerprint(decode(saved(picture(1), "BMP")))
    assert fingerprint(image) != fingerprint(decode(png(2)))
    assert fingerprint(Image.new("RGB", (2, 8))) != fingerprint(Image.new("RGB", (8, 2)))
