"""Palettes: nearest in OKLab, the same everywhere, alpha kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unikat.palette import Palette, oklab

COLOURS = st.lists(st.integers(0, 2**24 - 1).map(lambda number: f"#{number:06x}"), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [  # https://bottosson.github.io/posts/oklab and CSS Color 4's samples
        ((255, 255, 255), (1.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 255, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 255), (0.45201, -0.03246, -0.31153)),
    ],
)
def test_oklab_of_known_colours(colour: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    assert oklab(np.array(colour, dtype=np.uint8)) == pytest.approx(expected, abs=2e-5)


@settings(max_examples=20, deadline=None)
@given(COLOURS, arrays(np.uint8, (5, 7, 4)))
def test_every_pixel_gets_the_nearest_colour_and_keeps_its_alpha(colours: list[str], pixels: np.ndarray) -> None:
    palette = Palette(colours)
    mapped = palette.map(pixels)
    assert np.array_equal(mapped[..., 3], pixels[..., 3])
    assert np.array_equal(palette.map(pixels[..., :3]), mapped[..., :3])
    assert np.array_equal(palette.map(mapped), mapped)
    for before, after in zip(pixels[..., :3].reshape(-1, 3), mapped[..., :3].reshape(-1, 3), strict=True):
        distances = np.linalg.norm(oklab(palette.colours) - oklab(before), axis=-1)
        assert np.linalg.norm(oklab(after) - oklab(before)) <= distances.min() + 2e-5
        assert tuple(after) in {tuple(colour) for colour in palette.colours}


def test_of_equally_near_colours_the_first_is_taken() -> None:
    grey = np.full((1, 1, 3), 128, dtype=np.uint8)
    assert Palette(["#000000", "#808080", "#808080"]).map(grey).tolist() == [[[128, 128, 128]]]
    twice = Palette(["#ff0000", "#ff0000"])
    assert twice._nearest(np.array([[255, 10, 10]], dtype=np.uint8)).tolist() == [0]


@pytest.mark.parametrize("colours", [[], ["#12"], ["#ff000080"], ["white"] * 257])
def test_what_is_no_palette_is_refused(colours: list[str]) -> None:
    with pytest.raises(ValueError, match=r"colour|opaque"):
        Palette(colours)
