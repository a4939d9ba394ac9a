"""Sheets: rows that show every category, labelled, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.training.making import write_dataset
from unikat_training.pictures import Row, choose_rows, draw_sheet, wrapped


def test_rows_show_every_category_of_conditions_that_occur(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    rows = choose_rows(dataset, limit=3)
    names = " ".join(row.name for row in rows)
    assert all(category in names for attribute in dataset.attributes for category in attribute.categories)
    occurring = {tuple(row) for row in dataset.one_hots().tolist()}
    assert {tuple(row.condition.tolist()) for row in rows} <= occurring
    assert len({row.name for row in choose_rows(dataset)}) == len(occurring)


def test_a_plain_data_set_has_rows_without_names(tmp_path: Path) -> None:
    rows = choose_rows(write_dataset(tmp_path / "shapes", plain=True), limit=4)
    assert [(row.name, row.condition.shape) for row in rows] == [("", (0,))] * 4


def test_each_drawing_is_in_its_row_and_column(tmp_path: Path) -> None:
    rows = choose_rows(write_dataset(tmp_path / "shapes"), limit=2)

    def draw(index: int, row: Row) -> npt.NDArray[np.uint8]:
        return np.stack([np.full((64, 64, 3), 40 * index + 10 * column, dtype=np.uint8) for column in (1, 2, 3)])

    sheet = np.asarray(draw_sheet(rows, 3, draw))
    left = sheet.shape[1] - 3 * 66
    for row in range(2):
        for column in range(3):
            tile = sheet[row * 66 + 2 : row * 66 + 66, left + column * 66 : left + column * 66 + 64]
            assert (tile == 40 * row + 10 * (column + 1)).all()


def test_long_names_are_wrapped_and_cut() -> None:
    assert wrapped("fluent3d person medium-light") == ["fluent3d person", "medium-light"]
    assert wrapped("x" * 50) == ["x" * 24]
