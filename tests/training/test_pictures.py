"""The rows of sample sheets: they show every category, the same each time."""

from __future__ import annotations

from pathlib import Path

from tests.training.making import write_dataset
from unikat_training.pictures import choose_rows


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
