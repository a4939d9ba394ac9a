"""Sheets: every picture in its place, words in their room."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ImageColor

from unikat_training.sheet import EDGE, GAP, GROUNDS, LABEL_WIDTH, LINE, Block, Strip, draw_sheet, font, wrapped

TILE = 64
CELL = TILE + 2 * GAP
HEADING = LINE + EDGE


def strip(value: int, side: int = TILE) -> npt.NDArray[np.uint8]:
    """Three pictures, each of one grey."""
    return np.stack([np.full((side, side, 3), value + 10 * column, dtype=np.uint8) for column in range(3)])


def tile(sheet: npt.NDArray[np.uint8], left: int, top: int) -> npt.NDArray[np.uint8]:
    return sheet[top + GAP : top + GAP + TILE, left + GAP : left + GAP + TILE]


@pytest.mark.parametrize("side", [32, 64])
def test_each_picture_is_in_its_row_and_column(side: int) -> None:
    blocks = [Block("one", [Strip("a", strip(10, side)), Strip("b", strip(50, side))])]
    blocks.append(Block("two", [Strip("c", strip(90, side))]))
    sheet = np.asarray(draw_sheet(blocks, "title", ["x", "y", "z"]))
    left = sheet.shape[1] - 3 * CELL - EDGE
    for row, top in enumerate((0, CELL, 2 * CELL + HEADING)):
        for column in range(3):
            found = tile(sheet, left + column * CELL, 2 * HEADING + LINE + top)
            assert (found == 10 + 40 * row + 10 * column).all()


def test_what_is_beside_the_pictures_is_white_but_for_words_and_frames() -> None:
    plain = np.asarray(draw_sheet([Block("", [Strip("", strip(0))])]))
    framed = np.asarray(draw_sheet([Block("", [Strip("", strip(0), framed=1)])]))
    beside = framed[:CELL, EDGE + CELL : EDGE + 2 * CELL]
    assert (beside[:GAP] == 0).all()
    assert (beside[-GAP:] == 0).all()
    assert (plain[:GAP] == 255).all()
    changed = np.argwhere((plain != framed).any(axis=2))
    assert changed.min(axis=0).tolist() == [0, EDGE + CELL]
    assert changed.max(axis=0).tolist() == [CELL - 1, EDGE + 2 * CELL - 1]


def test_captions_stand_under_their_pictures() -> None:
    sheet = np.asarray(draw_sheet([Block("", [Strip("", strip(0), captions=("", "0.31", ""))])]))
    written = np.argwhere((sheet[CELL : CELL + LINE] < 128).any(axis=2))[:, 1]
    assert EDGE + CELL <= written.min() < written.max() < EDGE + 2 * CELL


def test_pictures_with_alpha_are_on_grounds_on_which_black_and_white_can_be_seen() -> None:
    half = np.zeros((2, TILE, TILE, 4), dtype=np.uint8)
    half[:, :, : TILE // 2] = 255
    sheet = np.asarray(draw_sheet([Block("", [Strip("", half)])]))
    for column in range(2):
        found = tile(sheet, EDGE + column * CELL, 0)
        assert (found[:, : TILE // 2] == 255).all()
        assert (found[:, TILE // 2 :] == ImageColor.getrgb(GROUNDS[column])).all()
    for ground in GROUNDS:
        assert max(ImageColor.getrgb(ground)) > 80
        assert min(ImageColor.getrgb(ground)) < 220


def test_large_pictures_are_made_smaller_and_a_long_title_fits() -> None:
    def sized(side: int, title: str = "") -> tuple[int, int]:
        return draw_sheet([Block("heading", [Strip("words", strip(0, side))])], title).size

    assert sized(256) == sized(128)
    assert draw_sheet([Block("", [Strip("", strip(0, 256))])], largest=TILE).width == 3 * CELL + 2 * EDGE
    assert sized(64, "a long title " * 20)[0] > font().getlength("a long title " * 20)


def test_long_names_are_wrapped_and_cut_by_their_width_in_pixels() -> None:
    assert wrapped("fluent3d person medium-light", LABEL_WIDTH) == ["fluent3d person", "medium-light"]
    for words in ("W" * 80, "i" * 80, "größte Übergröße Ω Ж"):
        lines = wrapped(words, LABEL_WIDTH)
        assert all(font().getlength(line) <= LABEL_WIDTH for line in lines)
        assert len(lines) == 1
    assert wrapped("one\ntwo", LABEL_WIDTH) == ["one", "two"]


def test_names_with_control_characters_can_be_written() -> None:
    assert draw_sheet([Block("a\tb", [Strip("tab\x00 and\u200bmore", strip(0))])]).size
