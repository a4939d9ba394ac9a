"""`unikat demo`: what `make demo` shows."""

from __future__ import annotations

from pathlib import Path

import psutil
from PIL import Image

from tests.support.tiny_model import STYLES, SUBJECTS, tiny_model, write_tiny_bundle
from tests.unikat.test_cli import unikat
from unikat.cli.demo import COLUMNS, Cell, plan
from unikat.v1.model_pb2 import Attribute, Category, Combination, Model


def test_it_draws_a_sheet_through_the_whole_path_and_stops_everything(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models")
    done = unikat("demo", "--models", str(tmp_path / "models"), "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    sheet = tmp_path / "out" / "sheet.png"
    assert done.stdout.splitlines()[-2] == str(sheet)
    assert done.stdout.splitlines()[-1].endswith("up, then open http://127.0.0.1:8080/")
    assert "images/s" in done.stdout
    rows, columns = len(STYLES) + 1, len(SUBJECTS)  # the last row is a blend
    assert len(list((tmp_path / "out").glob("tiny-s*.png"))) == rows * columns
    with Image.open(sheet) as picture:
        assert picture.width > columns * 96
        assert picture.height > rows * 96
    serving = [process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info["cmdline"])]
    assert serving == []


def test_without_a_model_it_says_so_before_it_starts_anything(tmp_path: Path) -> None:
    done = unikat("demo", "--models", str(tmp_path / "models"), "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    assert f"{tmp_path / 'models'}: there is no model in it" in done.stderr
    assert not (tmp_path / "out").exists()


def test_rows_are_the_first_attribute_and_columns_the_second() -> None:
    cells = plan(tiny_model())
    assert [cell.where for cell in cells[1]] == [{"style": "oil", "subject": subject} for subject in SUBJECTS]
    assert [cell.label for cell in cells[1]] == list(SUBJECTS)
    assert cells[-1][0] == Cell("sea", {"style": {"ink": 0.5, "oil": 0.5}, "subject": "sea"}, 0)


def test_a_model_of_one_attribute_or_none_fills_a_sheet_as_well() -> None:
    model = tiny_model()
    del model.attributes[1]
    assert [len(row) for row in plan(model)] == [COLUMNS] * (len(STYLES) + 1)
    cells = [cell for row in plan(tiny_model(conditional=False)) for cell in row]
    assert [(cell.label, cell.where) for cell in cells] == [("", {})] * len(cells)
    assert len({cell.offset for cell in cells}) == len(cells), "each is another latent"


def test_many_small_attributes_change_one_by_one_from_what_is_usual() -> None:
    sizes = {"style": 3, "hair": 4, "glasses": 2}
    model = Model(
        attributes=[
            Attribute(name=name, categories=[Category(name=f"{name}-{i}", count=9 - i) for i in range(count)])
            for name, count in sizes.items()
        ],
        combinations=[
            Combination(categories=[style, hair, glasses], count=1 + (hair == 1))
            for style in range(3)
            for hair in range(3)  # the fourth was not seen
            for glasses in range(2)
        ],
    )
    cells = plan(model)
    assert len(cells) == 4  # three styles and a blend
    usual = {"style": "style-1", "hair": "hair-1", "glasses": "glasses-1"}
    assert [(cell.label, cell.where) for cell in cells[1]] == [
        ("as usual", usual),
        ("hair: hair-0", usual | {"hair": "hair-0"}),
        ("glasses: glasses-0", usual | {"glasses": "glasses-0"}),
        ("hair: hair-2", usual | {"hair": "hair-2"}),
    ]
    assert [{cell.offset for cell in row} for row in cells] == [{0}, {1}, {2}, {3}], "one latent a row"
