"""A data set appears complete or not at all, and comes out the same every time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.preparing import fill, png, prepare
from unikat_training.data.build import Output, Picture, Recipe, build
from unikat_training.data.dataset import Attribute, Dataset, Source
from unikat_training.data.parallel import map_in_order
from unikat_training.data.report import Problem
from unikat_training.errors import DatasetError

RECIPE = Recipe("made", 8, (Attribute("kind"),), (Source("made", "https://example.org", "CC0-1.0", ""),))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """40 pictures in two categories: enough for several processes."""
    return fill(tmp_path / "in", {f"{'ab'[i % 2]}/{i}.png": png(i) for i in range(40)})


def made(number: int, kind: str = "x") -> Picture:
    pixels = np.full((8, 8, 3), number, dtype=np.uint8)
    return Picture(f"picture {number}", (kind,), pixels, bytes([number]))


def test_the_same_input_gives_the_same_bytes_by_any_number_of_processes(tmp_path: Path, pictures: Path) -> None:
    first, second = (prepare(tmp_path / n / "out", "folder", pictures, "--jobs", n).out for n in ("1", "2"))
    for name in ("images.npy", "dataset.json", "report.json", "contact_sheet.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_dry_run_writes_nothing_but_the_contact_sheet(tmp_path: Path, pictures: Path) -> None:
    result = prepare(tmp_path / "data" / "out", "folder", pictures, "--dry-run")

    assert result.code == 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["out-contact_sheet.png"]
    assert "out-contact_sheet.png" in result.printed
    assert "40 images" in result.printed


def test_a_dry_run_leaves_a_data_set_that_is_there_alone(tmp_path: Path, pictures: Path) -> None:
    out = prepare(tmp_path / "out", "folder", pictures).out
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    assert prepare(out, "folder", pictures, "--dry-run", "--size", "16").code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_data_set_is_replaced_only_when_told(tmp_path: Path, pictures: Path) -> None:
    out = tmp_path / "out"
    assert prepare(out, "folder", pictures, "--size", "16").dataset.resolution == 16

    assert "--force" in prepare(out, "folder", pictures, "--size", "32").message
    assert Dataset.load(out).resolution == 16
    assert prepare(out, "folder", pictures, "--size", "32", "--force").dataset.resolution == 32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_folder_that_is_no_data_set_is_never_replaced(tmp_path: Path, pictures: Path) -> None:
    assert "is not a data set" in prepare(pictures, "folder", pictures, "--force").message
    assert len(list(pictures.rglob("*.png"))) == 40


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "--out" in prepare(tmp_path / "file" / "out", "folder", pictures).message


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Picture | Problem]:
        yield made(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(RECIPE, interrupted(), Output(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_the_wrong_shape_is_a_mistake_of_the_program(tmp_path: Path) -> None:
    wrong = Picture("wrong", ("x",), np.zeros((4, 8, 3), np.uint8), b"")
    with pytest.raises(ValueError, match="expected uint8"):
        build(RECIPE, [wrong], Output(tmp_path / "out"))


def test_rare_categories_and_labels_that_are_none_are_warned_of(tmp_path: Path) -> None:
    rare = build(RECIPE, [made(i, "x" if i else "y") for i in range(30)], Output(tmp_path / "rare"))
    unique = build(RECIPE, [made(i, f"id {i}") for i in range(30)], Output(tmp_path / "unique"))

    assert rare.warnings == ["kind: fewer than 10 images of y"]
    assert unique.warnings == ["kind: 30 categories for 30 images; is it a label?"]


def test_other_pixels_than_the_recorded_ones_are_warned_of(tmp_path: Path) -> None:
    recorded = build(RECIPE, [made(1), made(2, "y")], Output(tmp_path / "first")).digest
    same = Recipe(RECIPE.name, 8, RECIPE.attributes, RECIPE.sources, recorded_digest=recorded)

    again = build(same, [made(1), made(2, "y")], Output(tmp_path / "second"))
    other = build(same, [made(1), made(3, "y")], Output(tmp_path / "third"))

    assert not any("recorded" in warning for warning in again.warnings)
    assert any(recorded in warning for warning in other.warnings)


def test_the_contact_sheet_has_a_row_for_each_category(tmp_path: Path) -> None:
    picked = [made(i, f"kind {i % 3}") for i in range(12)]
    build(RECIPE, picked, Output(tmp_path / "out"))

    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        # 8 pixels are shown at 48, with 2 around; right of the last and below it are 6 and 4; above all is a heading.
        assert sheet.height == 21 + 3 * 52 + 4
        cell = sheet.getpixel((sheet.width - 6 - 3 * 52 + 26, 21 + 52 + 26))
    assert cell == (4, 4, 4)  # the second image of "kind 1"


def test_a_sheet_of_a_thousand_categories_stays_a_picture(tmp_path: Path) -> None:
    wide = Recipe("wide", 8, RECIPE.attributes, RECIPE.sources)
    many = [Picture(str(i), (f"id {i}",), np.full((8, 8, 3), i % 256, np.uint8), str(i).encode()) for i in range(1000)]
    build(wide, many, Output(tmp_path / "out"))

    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.height < 4000


def test_the_head_of_the_description_names_format_and_digest(tmp_path: Path) -> None:
    report = build(RECIPE, [made(1)], Output(tmp_path / "out"))
    document = json.loads((tmp_path / "out" / "dataset.json").read_text())

    assert list(document)[:5] == ["format", "name", "resolution", "channels", "count"]
    assert document["digests"] == {"images.npy": report.digest}
    assert document["sources"] == [{"name": "made", "url": "https://example.org", "licence": "CC0-1.0", "credit": ""}]
    assert np.load(tmp_path / "out" / "images.npy", mmap_mode="r").shape == (1, 8, 8, 3)


def _die_at_50(number: int) -> int:
    if number == 50:
        os._exit(1)  # as a decoder does that crashes
    return number


def test_a_process_that_dies_is_reported_and_not_waited_for() -> None:
    with pytest.raises(DatasetError, match="a process died"):
        list(map_in_order(_die_at_50, range(100), 2))
