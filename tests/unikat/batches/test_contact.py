"""A batch's contact sheet: which images are on it."""

from __future__ import annotations

import io
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.unikat.batches.drawn import CELLS, image_file, spec_of, write
from tests.unikat.batches.test_close import closed, rows_of
from unikat.batches.contact import evenly
from unikat.batches.shards import close_batch
from unikat.batches.spec import Cell


def test_the_sheet_shows_a_row_for_each_cell(tmp_path: Path) -> None:
    there = closed(spec_of(tmp_path))
    assert shown(there["contact-sheet.png"]) == list(range(20))  # four cells of five: all of them


def shown(sheet: bytes, count: int = 20) -> list[int]:
    """Which of the first images are on a sheet, enlarged: found by their first line of pixels."""
    pixels = np.asarray(Image.open(io.BytesIO(sheet))).astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
    colours = set(np.unique(pixels).tolist())
    found = []
    for index in range(count):
        image = np.asarray(Image.open(io.BytesIO(image_file(index)))).astype(np.uint32)
        line = np.repeat(image[0] @ np.array([1, 256, 65536], np.uint32), 6)
        if set(line.tolist()) <= colours:
            places = np.argwhere(pixels == line[0])
            if any(np.array_equal(pixels[y, x : x + len(line)], line) for y, x in places):
                found.append(index)
    return found


def test_the_sheet_of_one_cell_shows_images_from_all_over(tmp_path: Path) -> None:
    there = closed(spec_of(tmp_path, cells=(Cell(CELLS[0].weights, 160),)))
    indexes = shown(there["contact-sheet.png"], 160)
    assert len(indexes) == 64
    assert {after - before for before, after in pairwise(indexes)} <= {2, 3}


def test_the_sheet_of_a_batch_with_gaps_shows_what_is_there(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    storage = write(spec, [0, 2])
    close_batch(storage, spec, [0, 2], True)
    assert shown(storage.read("contact-sheet.png")) == [*range(8), *range(16, 20)]


def test_a_missing_image_costs_its_place_on_the_sheet_and_nothing_more(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    storage = write(spec)
    (tmp_path / "images" / "00000" / "0000003.png").unlink()
    (tmp_path / "images" / "00000" / "0000004.png").write_bytes(b"no image")
    close_batch(storage, spec, range(3), False)
    assert shown(storage.read("contact-sheet.png")) == [index for index in range(20) if index not in (3, 4)]
    assert len(rows_of(storage.read("manifest.parquet"))) == 20
    shutil.rmtree(tmp_path / "images")
    close_batch(storage, spec, range(3), False)
    assert len(rows_of(storage.read("manifest.parquet"))) == 20


@pytest.mark.parametrize(("length", "count"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 64), (7, 1)])
def test_evenly_spread_numbers_are_in_order_and_no_two_are_the_same(length: int, count: int) -> None:
    chosen = evenly(range(100, 100 + length), count)
    assert len(chosen) == min(length, count)
    assert chosen == sorted(set(chosen))
    assert all(100 <= number < 100 + length for number in chosen)
