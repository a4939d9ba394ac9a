"""The command line: what goes wrong is told in one line, with the field and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.training.making import write_dataset
from unikat_training.changes import Change, load_changes
from unikat_training.cli import app
from unikat_training.config import load_config

TINY_FLAGS = [
    "--batch=4",
    "--latent=8",
    "--width=4",
    "--max-width=8",
    "--feature-size=32",
    "--threads=1",
    "--no-progress",
]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments: str | Path) -> str:
    """What is printed, on one line, by a command that must refuse."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return re.sub(r"[\s│]+", " ", result.output)


def test_a_data_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    told = refusal("train", tmp_path / "none", "--run", tmp_path / "run")
    assert f"{tmp_path / 'none'}: no such folder" in told
    assert "prepare" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--batch=1", "'--batch': Input should be greater than or equal to 2"),
        ("--feature-size=50", "feature_size: must be one of (32, 64, 128, 256)"),
        ("--learning-rate=0", "learning_rate: must be above 0"),
        ("--balance=2", "'--balance': Input should be less than or equal to 1"),
        ("--balance-over=shape,size", "balance_over: ['size'] not among the data set's attributes ['shape', 'colour']"),
        ("--loss=l2", "'--loss': Value error, 'l2' is not one of 'hinge', 'rpgan', 'bce'"),
        ("--decay-to=-1", "'--decay-to': Input should be greater than or equal to 0"),
        ("--decay-from=9 --decay-to=8", "decay_from: must be 0 to below decay_to (8)"),
        ("--device=tpu", "device: must be auto, cpu, cuda or mps"),
        ("--images=0", "--images"),
    ],
)
def test_a_setting_out_of_range_is_named_with_what_is_allowed(tmp_path: Path, flag: str, told: str) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    assert told in refusal("train", dataset.path, "--run", tmp_path / "run", *flag.split())
    assert not (tmp_path / "run").exists()


def test_a_size_that_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes", count=4, resolution=20)
    assert "16, 32, 64, 128, 256" in refusal("train", dataset.path, "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_exporting_what_is_no_run_is_refused(tmp_path: Path) -> None:
    assert "not a run" in refusal("export", tmp_path, "--out", tmp_path / "models" / "emoji" / "1")


def test_a_dozen_own_pictures_can_be_trained_on_and_exported(tmp_path: Path) -> None:
    for index in range(12):
        folder = tmp_path / "pictures" / ("cats", "dogs", "newts")[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (20 * index, 100, 255 - 20 * index)).save(folder / f"{index}.png")
    assert run("prepare", "folder", tmp_path / "pictures", "--size=32", "--out", tmp_path / "set").exit_code == 0
    trained = run("train", tmp_path / "set", "--run", tmp_path / "run", *TINY_FLAGS, "--images=24")
    assert trained.exit_code == 0, trained.output
    assert "24 images" in trained.output
    exported = run("export", tmp_path / "run", "--out", tmp_path / "models" / "mine" / "1")
    assert exported.exit_code == 0, exported.output
    assert exported.stdout.strip() == str(tmp_path / "models" / "mine" / "1")


def test_a_run_is_continued_with_its_own_settings_left_out(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    operation = ["--threads=1", "--no-progress"]
    assert run("train", dataset.path, "--run", tmp_path / "run", *TINY_FLAGS, "--images=8").exit_code == 0
    continued = run("train", dataset.path, "--run", tmp_path / "run", *operation, "--images=12")
    assert continued.exit_code == 0, continued.output
    assert "12 images" in continued.output
    assert "batch was 4, now 6" in refusal("train", dataset.path, "--run", tmp_path / "run", "--batch=6")


def test_settings_of_a_run_can_be_changed_and_its_card_says_so(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    go_on: list[str | Path] = ["train", dataset.path, "--run", tmp_path / "run", "--threads=1", "--no-progress"]
    assert run(*go_on[:4], *TINY_FLAGS, "--images=8").exit_code == 0
    told = refusal(*go_on, "--change", "--width=8", "--wrong-label-weight=1")
    assert "--change: width cannot be changed in a run; loss, clamp, auxiliary" in told
    assert load_changes(tmp_path / "run") == []
    changed = run(*go_on, "--change", "--wrong-label-weight=1", "--learning-rate=0.001", "--images=12")
    assert changed.exit_code == 0, changed.output
    assert run(*go_on, "--change", "--wrong-label-weight=1", "--images=12").exit_code == 0, "nothing more to change"
    assert load_changes(tmp_path / "run") == [
        Change(8, {"learning_rate": (0.0004, 0.001), "wrong_label_weight": (0.5, 1.0)})
    ]
    assert load_config(tmp_path / "run")[0].wrong_label_weight == 1
    out = tmp_path / "models" / "mine" / "1"
    assert run("export", tmp_path / "run", "--out", out, "--no-evaluate").exit_code == 0
    said = "At 8 images settings were changed: learning_rate from 0.0004 to 0.001, wrong_label_weight from 0.5 to 1.0."
    assert said in (out / "MODEL_CARD.md").read_text()


def test_small_cells_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    assert run("train", dataset.path, "--run", tmp_path / "run", *TINY_FLAGS, "--images=4").exit_code == 0
    assert "pictures of (square, red): with fewer than 20" in caplog.text
