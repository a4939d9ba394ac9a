"""Contact sheets, by their pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from unikat.sheet import BACKGROUND, LARGEST_TILE, SMALLEST_TILE, Sheet, enlarge, enlarged_size, fitted, font, grid


def plain(colour: tuple[int, int, int], size: int = 32) -> Image.Image:
    return Image.new("RGB", (size, size), colour)


def pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.array(image, dtype=np.uint8)


def area_of(picture: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> npt.NDArray[np.intp]:
    """Rows (y, x) of the pixels that have exactly this colour."""
    return np.argwhere((picture == np.array(colour, np.uint8)).all(axis=2))


RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


@pytest.mark.parametrize(
    ("size", "shown"),
    [((16, 16), (96, 96)), ((28, 28), (112, 112)), ((32, 32), (96, 96)), ((64, 64), (128, 128)), ((96, 96), (96, 96)),
     ((200, 100), (200, 100)), ((512, 512), (256, 256)), ((1024, 512), (256, 128))],
)  # fmt: skip
def test_small_images_are_enlarged_by_whole_factors_and_large_ones_shrunk(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert enlarged_size(size) == shown
    assert SMALLEST_TILE <= max(shown) <= LARGEST_TILE


def test_every_image_is_where_its_row_and_column_say() -> None:
    sheet = Sheet(
        [[plain(RED), plain(GREEN)], [plain(BLUE), None]], row_labels=["one", "two"], column_labels=["a", "b"]
    )
    picture = pixels(sheet.draw())
    red, green, blue = (area_of(picture, colour) for colour in (RED, GREEN, BLUE))
    assert [len(area) for area in (red, green, blue)] == [96 * 96] * 3
    assert (red[:, 0].min(), red[:, 1].min()) == (green[:, 0].min(), blue[:, 1].min())
    assert green[:, 1].min() > red[:, 1].max()
    assert blue[:, 0].min() > red[:, 0].max()


def test_tiny_images_keep_their_pixels_sharp() -> None:
    board = Image.new("RGB", (2, 2), RED)
    board.putpixel((1, 0), GREEN)
    shown = pixels(enlarge(board))
    assert len(area_of(shown, RED)) + len(area_of(shown, GREEN)) == shown.shape[0] * shown.shape[1]


def test_labels_are_written_where_there_is_room_for_them() -> None:
    bare = Sheet([[plain(RED)]])
    labelled = Sheet(
        [[plain(RED)]], title="Title", note="note", row_labels=["row"], column_labels=["c"], captions=[["0"]]
    )
    before, after = pixels(bare.draw()), pixels(labelled.draw())
    assert after.shape[0] > before.shape[0]
    assert after.shape[1] > before.shape[1]
    ink = (after != np.array(BACKGROUND, np.uint8)).any(axis=2)
    tile = area_of(after, RED)
    assert len(tile) == 96 * 96, "no label may stand on an image"
    (top, left), (bottom, right) = tile.min(axis=0), tile.max(axis=0)
    assert ink[:top].any(), "title and column label stand above"
    assert ink[top:bottom, :left].any(), "the row label stands left"
    assert ink[bottom + 1 :, left : right + 1].any(), "caption and note stand below"
    assert not ink[:, -1].any(), "nothing runs out of the sheet"


def test_a_caption_of_two_lines_makes_room_for_both() -> None:
    one, two = (Sheet([[plain(RED)], [plain(BLUE)]], captions=[[text], [text]]).draw() for text in ("0", "0\nink"))
    assert two.height > one.height
    assert len(area_of(pixels(two), BLUE)) == 96 * 96, "the upper caption does not run into the lower image"


def test_a_label_that_is_too_long_is_cut() -> None:
    text = fitted("smileys and people and animals", 100)
    assert text.endswith("...")
    assert font(text, 14).getlength(text) <= 100
    assert fitted("short", 100) == "short"


def test_a_grid_is_about_as_wide_as_high() -> None:
    images = [plain(RED)] * 10
    rows = grid(images)
    assert [len(row) for row in rows] == [4, 4, 4]
    assert rows[2][2:] == [None, None]
    assert [len(row) for row in grid(images, columns=5)] == [5, 5]
    assert grid([plain(RED)])[0][0] is not None


def test_a_sheet_without_images_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        Sheet([[None]]).draw()
