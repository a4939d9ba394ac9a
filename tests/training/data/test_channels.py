"""Alpha in people's own pictures: every kind of file that has some, and when it is kept."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.training.data.preparing import fill, picture, prepare
from unikat_training.data.pictures import decode

SIDE = 40
RED, BLUE = (255, 0, 0), (0, 0, 255)


def disc(
    colour: tuple[int, int, int] = RED, side: int = SIDE, hidden: str = "#00ff0000", radius: int = 12
) -> Image.Image:
    """A disc in the middle, with a colour hidden under the nothing around it."""
    image = Image.new("RGBA", (side, side), hidden)
    ImageDraw.Draw(image).circle((side // 2, side // 2), radius, fill=colour)
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def palette() -> bytes:
    image = Image.new("P", (SIDE, SIDE), 0)
    image.putpalette([0, 255, 0, *RED])
    ImageDraw.Draw(image).circle((20, 20), 12, fill=1)
    return saved(image, transparency=0)


def raw_png(depth: int, kind: int, rows: list[bytes], transparent: bytes = b"") -> bytes:
    """A PNG of a depth and colour type that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, depth, kind, 0, 0, 0))
    hidden = chunk(b"tRNS", transparent) if transparent else b""
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + hidden + body + chunk(b"IEND", b"")


def deep(mode: str) -> bytes:
    """16 bits a channel."""
    return raw_png(16, {"LA": 4, "RGBA": 6}[mode], [(row * 257).astype(">u2").tobytes() for row in levels(mode)])


def levels(mode: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    return np.asarray(disc().convert(mode)).astype(np.uint16)


def grey(depth: int) -> bytes:
    """Grey of a depth, of which one level (2, or 1,000) is transparent."""
    shown = np.asarray(disc())[..., 3] > 0
    if depth == 16:
        values = np.where(shown, 40_000, 1_000).astype(">u2")
        return raw_png(16, 0, [row.tobytes() for row in values], struct.pack(">H", 1_000))
    bits = np.where(shown, 1, 2)[..., None] >> np.arange(depth)[::-1] & 1
    return raw_png(depth, 0, [np.packbits(row).tobytes() for row in bits], struct.pack(">H", 2))


def animation() -> bytes:
    """A GIF that begins with nothing, and has nothing around its discs."""
    frames = [Image.new("RGBA", (SIDE, SIDE)), disc(), disc(BLUE)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40"><circle cx="20" cy="20" r="12" fill="red"/></svg>'
KINDS: Mapping[str, tuple[bytes, tuple[int, int, int]]] = {
    "palette.png": (palette(), RED),
    "rgba.png": (saved(disc()), RED),
    "la.png": (saved(disc().convert("LA")), (76, 76, 76)),
    "16 bits.png": (deep("RGBA"), RED),
    "16 bits la.png": (deep("LA"), (76, 76, 76)),
    "grey 2.png": (grey(2), (85, 85, 85)),
    "grey 4.png": (grey(4), (17, 17, 17)),
    "grey 16.png": (grey(16), (155, 155, 155)),
    "animated.gif": (animation(), RED),
    "still.webp": (saved(disc(), "WEBP", lossless=True), RED),
    "lossy.webp": (saved(disc(), "WEBP", quality=90), RED),
    "layer.tiff": (saved(disc(), "TIFF"), RED),
    "icon.ico": (saved(disc(side=32, radius=9), "ICO", sizes=[(32, 32)]), RED),
    "picture.avif": (saved(disc(), "AVIF", quality=95), RED),
    "drawing.svg": (SVG, RED),
}


@pytest.mark.parametrize("name", KINDS)
def test_alpha_of_every_kind_of_file_is_kept(name: str, tmp_path: Path) -> None:
    content, colour = KINDS[name]
    dataset = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", {name: content})).dataset

    assert dataset.channels == 4
    pixels = dataset.images[0].astype(int)
    assert pixels[32, 32, 3] == 255
    assert np.abs(pixels[32, 32, :3] - colour).max() <= 4
    assert (pixels[:6, :, 3] == 0).all()
    assert (pixels[pixels[..., 3] == 0] == 0).all()  # nothing of the hidden colour, or of resizing


def half(**more: bytes) -> dict[str, bytes]:
    """Five drawings on nothing and five photographs."""
    drawings = {f"drawing/{i}.png": saved(disc((0, 40 * i, 255))) for i in range(5)}
    return drawings | {f"photo/{i}.jpg": saved(picture(i, (48, 48)), "JPEG") for i in range(5)} | more


def test_where_half_of_the_pictures_are_transparent_alpha_is_kept_and_the_others_are_opaque(tmp_path: Path) -> None:
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", half()))

    assert "with alpha" in result.said
    assert "channels: rgba, since 5 of 5 pictures that were tried are transparent in part" in result.said
    (attribute,) = result.dataset.attributes
    photo = result.dataset.labels[:, 0] == attribute.categories.index("photo")
    alpha = result.dataset.images[..., 3]
    assert (alpha[photo] == 255).all()
    assert (alpha[~photo] == 0).any(axis=(1, 2)).all()


def test_where_fewer_are_they_are_shown_on_white_as_is_said(tmp_path: Path) -> None:
    more = {f"photo/{i}.png": saved(picture(i, (48, 48))) for i in range(10, 16)}
    pictures = fill(tmp_path / "in", half(**more))
    result = prepare(tmp_path / "out", "folder", pictures)

    assert result.dataset.channels == 3
    assert "channels: rgb, since 5 of 11 pictures that were tried are transparent in part, fewer" in result.said
    assert prepare(tmp_path / "kept", "folder", pictures, "--channels", "rgba").dataset.channels == 4


def test_a_few_soft_pixels_are_no_alpha_worth_to_be_kept(tmp_path: Path) -> None:
    image = picture(1, (40, 40)).convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", {"1.png": saved(image)}))

    assert result.dataset.channels == 3
    assert "channels:" not in result.said


def test_a_colour_or_rgb_that_is_asked_for_wins(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", half())
    blue = prepare(tmp_path / "blue", "folder", pictures, "--background", "blue").dataset
    plain = prepare(tmp_path / "plain", "folder", pictures, "--channels", "rgb").dataset

    assert [each.images[0, 0, 0].tolist() for each in (blue, plain)] == [[0, 0, 255], [255, 255, 255]]


def test_keep_is_another_word_for_rgba(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", half())
    one = prepare(tmp_path / "one", "folder", pictures, "--background", "keep").dataset
    other = prepare(tmp_path / "other", "folder", pictures, "--channels", "rgba").dataset

    assert one.digest == other.digest


@pytest.mark.parametrize(("channels", "background"), [("rgba", "white"), ("rgb", "keep")])
def test_what_contradicts_itself_is_refused(tmp_path: Path, channels: str, background: str) -> None:
    flags = ("--channels", channels, "--background", background)
    message = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", half()), *flags).message
    assert f"--background {background}" in message
    assert f"--channels {channels}" in message


def test_white_drawings_keep_their_alpha_if_asked_and_are_warned_of(tmp_path: Path) -> None:
    drawings = {f"{i}.png": saved(disc((255, 255, 255), radius=6 + i)) for i in range(4)}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", drawings), "--channels", "rgba")

    assert result.dataset.channels == 4
    assert "4 of 4 pictures that were tried do not show on white" in result.said


def test_the_same_drawing_over_other_hidden_colours_is_one_and_has_one_digest(tmp_path: Path) -> None:
    twice = {"1.png": saved(disc()), "2.png": saved(disc(hidden="#ff00ff00")), "3.webp": KINDS["still.webp"][0]}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", twice))
    alone = prepare(tmp_path / "alone", "folder", fill(tmp_path / "one", {"2.png": twice["2.png"]}))

    assert result.problems == {("duplicate", "2.png"), ("duplicate", "3.webp")}
    assert result.dataset.digest == alone.dataset.digest


@pytest.mark.parametrize("depth", [2, 4, 16])
def test_the_transparent_level_of_grey_is_found_whatever_its_depth(depth: int) -> None:
    decoded = decode(grey(depth))
    assert decoded.mode == "RGBA"
    assert (np.asarray(decoded)[..., 3] == np.asarray(disc())[..., 3]).all()
