"""Series: the file key by key, and what a banner shows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from unikat.palette import Palette
from unikat.series.banner import Banners
from unikat.series.spec import Series, Size, SpecError, Subject, parse_series

WHOLE = """
model = "portraits@1"
seed = 7
count = 2
truncation = 0.8
palette = ["#1d2440", "tomato"]
grounds = ["white", "none"]
scaling = "smooth"
align = "bottom"
[conditions]
style = "micah"
[subjects.guest]
hair = { short = 0.7, long = 0.3 }
[subjects.cook]
[sizes]
square = "100x100"
tall = { size = "160x600", align = "left", fill = 0.5 }
"""
MINIMAL = 'model = "emoji"\nseed = 1\n[sizes]\na = "64x64"\n'


def test_a_file_is_read_whole() -> None:
    assert parse_series(WHOLE.encode()) == Series(
        "portraits@1",
        7,
        {"guest": Subject({"hair": {"short": 0.7, "long": 0.3}}, 0), "cook": Subject({}, 1000)},
        {"square": Size(100, 100, "bottom", 0.9), "tall": Size(160, 600, "left", 0.5)},
        2,
        0.8,
        {"style": "micah"},
        ("#1d2440", "tomato"),
        ("#ffffffff", "#00000000"),
        "smooth",
    )


def test_what_is_left_out_has_defaults() -> None:
    found = parse_series(MINIMAL.encode())
    assert found == Series("emoji", 1, {"drawing": Subject({}, 0)}, {"a": Size(64, 64, "center", 0.9)})


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        (("seed = 1", ""), "seed", "is missing"),
        (("seed = 1", "seed = true"), "seed", "whole number from 0 to 18446744073709551615"),
        (("seed = 1", "seed = 1\npallete = []"), "pallete", 'did you mean "palette"'),
        (("seed = 1", "seed = 1\npalette = [1]"), "palette", "list of colours"),
        (("seed = 1", 'seed = 1\npalette = ["red", "#ff000080"]'), "palette[1]", "must be opaque"),
        (("seed = 1", 'seed = 1\ngrounds = ["nowhere"]'), "grounds[0]", "is no colour"),
        (("seed = 1", "seed = 1\ncount = 1001"), "count", "whole number from 1 to 1000"),
        (("seed = 1", "seed = 1\ntruncation = 2.5"), "truncation", "number from 0 to 2"),
        (("seed = 1", 'seed = 1\nscaling = "crisp"'), "scaling", "one of pixels, smooth"),
        (("seed = 1", 'seed = 1\nalign = "top"'), "align", "one of left, center, right, bottom-left"),
        (("emoji", "Emoji"), "model", '"name" or "name@version"'),
        (("[sizes]", "[conditions]\nstyle = 3\n[sizes]"), "conditions.style", "category, or weights"),
        (("[sizes]", "[subjects]\nA = {}\n[sizes]"), "subjects.A", "small letters"),
        (("[sizes]", 'conditions.a = "x"\nsubjects.b.a = "y"\n[sizes]'), "subjects.b.a", "in one of them"),
        (('"64x64"', '"64"'), "sizes.a", '"WIDTHxHEIGHT"'),
        (('"64x64"', '"9000x64"'), "sizes.a", "at most 8192"),
        (('"64x64"', '{ size = "64x64", colour = 1 }'), "sizes.a.colour", 'Choose from|choose from'),
        (('"64x64"', '{ size = "64x64", fill = 0 }'), "sizes.a.fill", "from 0.05 to 1"),
        (("seed = 1", "seed 1"), "file", "is not TOML"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named(change: tuple[str, str], key: str, said: str) -> None:
    with pytest.raises(SpecError, match=f"^{key.replace('[', chr(92) + '[')}: .*({said})"):
        parse_series(MINIMAL.replace(*change).encode())


def drawing() -> Image.Image:
    """8 x 8: noise in its middle, nothing around."""
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[2:6, 2:6] = np.random.default_rng(3).integers(0, 256, (4, 4, 4), dtype=np.uint8)
    pixels[2:6, 2:6, 3] = 255
    return Image.fromarray(pixels)


def test_a_drawing_is_enlarged_by_whole_pixels_in_the_palettes_colours() -> None:
    palette = Palette(["#1d2440", "#ff6347", "#fffaf0"])
    banner = Banners("pixels", palette).make(drawing(), Size(100, 40, "right", 0.9), "#00ff00ff")
    assert (banner.mode, banner.size) == ("RGB", (100, 40))
    pixels = np.asarray(banner)
    assert {tuple(p) for p in pixels.reshape(-1, 3)} <= {(0, 255, 0), *map(tuple, palette.colours.tolist())}
    # 8 pixels 4 times: 32 of 40 rows, as far from the right edge as from above.
    part = pixels[4:36, 100 - 4 - 32 : 96]
    once = part[::4, ::4]
    assert np.array_equal(np.kron(once, np.ones((4, 4, 1), dtype=np.uint8)), part)
    assert np.array_equal(once[2:6, 2:6], palette.map(np.asarray(drawing()))[2:6, 2:6, :3])


def test_at_the_bottom_the_outline_stands_on_the_edge() -> None:
    banner = np.asarray(Banners("pixels", None).make(drawing(), Size(40, 40, "bottom", 1), "#ffffffff"))
    inside = np.asarray(drawing())[2:6, 2:6, :3]
    assert np.array_equal(banner[20:40:5, 10:30:5], inside)  # two rows of nothing, five pixels each, are cut off


def test_a_ground_of_nothing_stays_transparent() -> None:
    banner = Banners("pixels", None).make(drawing(), Size(8, 8, "center", 1), "#00000000")
    assert np.array_equal(np.asarray(banner), np.asarray(drawing()))


def test_smooth_outlines_are_a_pixel_wide_where_there_is_a_palette() -> None:
    size, solid = Size(800, 800, "center", 1), Image.new("RGBA", (8, 8))
    solid.paste((255, 0, 0, 255), (2, 2, 6, 6))
    sharp = np.asarray(Banners("smooth", Palette(["#ff0000"])).make(solid, size, "#00000000"))
    assert ((sharp[400, :, 3] > 0) & (sharp[400, :, 3] < 255)).sum() <= 4
    soft = np.asarray(Banners("smooth", None).make(solid, size, "#00000000"))
    assert ((soft[400, :, 3] > 0) & (soft[400, :, 3] < 255)).sum() > 100


def test_a_drawing_that_does_not_fit_is_refused() -> None:
    size = Size(40, 7, "left", 0.9)
    with pytest.raises(ValueError, match='8 x 8 pixels and does not fit; scaling = "smooth"'):
        Banners("pixels", None).factor((8, 8), size)
    assert Banners("smooth", None).make(drawing(), size, "#ffffffff").size == (40, 7)
