"""From a folder of pictures to a model, in one command."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

from unikat.bundle import read_bundle
from unikat_training.checkpoint import checkpoints
from unikat_training.cli import app
from unikat_training.session import has_alpha, open_graph


def folders_of_pictures(path: Path) -> Path:
    """Thirty pictures in three folders, of different sizes."""
    rng = np.random.default_rng(0)
    for index in range(30):
        folder = path / ("cats", "dogs", "newts")[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8 + index % 5, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60 + index, 50), Image.Resampling.NEAREST).save(folder / f"{index}.png")
    return path


def run(*arguments: str | Path) -> Result:
    flags = ["--preset=plain-gan", "--size=32", "--threads=1", "--no-progress", "--no-evaluate"]
    return CliRunner().invoke(app, ["fit", *flags, *map(str, arguments)])


def test_one_command_makes_a_model_and_another_trains_it_further(tmp_path: Path) -> None:
    pictures, models = folders_of_pictures(tmp_path / "pictures"), tmp_path / "models" / "my-art"
    common = [str(pictures), f"--run={tmp_path / 'run'}", "--licence=CC0-1.0"]
    first = run(*common, "--out", models / "1", "--images=64")
    assert first.exit_code == 0, first.output
    assert first.stdout.strip() == str(models / "1")
    bundle = read_bundle(models / "1")
    bundle.verify()
    assert [category.name for category in bundle.model.attributes[0].categories] == ["cats", "dogs", "newts"]
    assert (bundle.model.width, bundle.model.licence, bundle.model.training.images_seen) == (32, "CC0-1.0", 64)
    assert (tmp_path / "run" / "report.html").exists()
    second = run(*common, "--out", models / "2", "--images=128")
    assert second.exit_code == 0, second.output
    assert read_bundle(models / "2").model.training.images_seen == 128


def test_the_report_and_the_sheet_of_the_pictures_are_shown(tmp_path: Path) -> None:
    pictures = folders_of_pictures(tmp_path / "pictures" / "train")
    (pictures / "Thumbs.db").write_bytes(b"x")
    out = tmp_path / "models" / "my-art" / "1"
    result = run(tmp_path / "pictures", "--run", tmp_path / "run", "--out", out, "--images=64")
    assert result.exit_code == 0, result.output
    told = " ".join(result.stderr.split())
    assert "category (3): cats 10, dogs 10, newts 10" in told
    assert "Thumbs.db 1" in told
    assert f"contact sheet: {tmp_path / 'run' / 'data' / 'contact_sheet.png'}" in told
    assert (tmp_path / "run" / "data" / "contact_sheet.png").is_file()


def test_a_model_of_stickers_takes_a_background(tmp_path: Path) -> None:
    for index in range(12):
        folder = tmp_path / "pictures" / ("round", "square")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        sticker = Image.new("RGBA", (40, 40))
        sticker.paste((20 * index, 100, 0, 255), (10, 10, 30, 22 + index % 8))
        sticker.save(folder / f"{index}.webp", lossless=True)
    out = tmp_path / "models" / "my-art" / "1"
    result = run(tmp_path / "pictures", "--run", tmp_path / "run", "--out", out, "--images=64")
    assert result.exit_code == 0, result.output
    assert "12 of 12 pictures that were tried are transparent in part" in " ".join(result.stderr.split())
    bundle = read_bundle(out)
    assert bundle.model.channels == 4
    assert has_alpha(open_graph(bundle.graph))


def test_pictures_that_are_mostly_left_out_stop_before_the_training(tmp_path: Path) -> None:
    pictures = folders_of_pictures(tmp_path / "pictures")
    for index in range(20):
        (pictures / "cats" / f"phone-{index}.heic").write_bytes(b"\0\0\0\x18ftypheic")
    common: list[str | Path] = [
        pictures,
        "--run",
        tmp_path / "run",
        "--out",
        tmp_path / "models" / "my-art" / "1",
        "--images=64",
    ]
    result = run(*common)
    assert result.exit_code == 2
    told = " ".join(result.stderr.split())
    assert "30 images of 32 x 32 pixels" in told  # the report, all the same
    assert "20 of 50 pictures would be left out (40%): 20 unreadable format (cats/phone-0.heic" in told
    assert not (tmp_path / "run" / "config.json").exists()
    assert not (tmp_path / "models").exists()
    assert run(*common, "--max-left-out=1").exit_code == 0


def test_pictures_are_read_as_prepare_reads_them(tmp_path: Path) -> None:
    pictures, out = folders_of_pictures(tmp_path / "pictures"), tmp_path / "models" / "my-art" / "1"
    result = run(pictures, "--run", tmp_path / "run", "--out", out, "--images=64", "--label-level=1", "--attribute=pet")
    assert result.exit_code == 0, result.output
    assert [attribute.name for attribute in read_bundle(out).model.attributes] == ["pet"]


def test_the_time_is_kept(tmp_path: Path) -> None:
    pictures = folders_of_pictures(tmp_path / "pictures")
    result = run(pictures, "--run", tmp_path / "run", "--out", tmp_path / "models" / "my-art" / "1", "--minutes=0.01")
    assert result.exit_code == 0, result.output
    assert 1 <= int(checkpoints(tmp_path / "run")[-1].name) < 100


def test_what_cannot_become_a_model_is_refused_before_any_work(tmp_path: Path) -> None:
    pictures = folders_of_pictures(tmp_path / "pictures")
    for out, preset, told in (
        (tmp_path / "models" / "My Art" / "1", "projected", "a name"),
        (tmp_path / "models" / "my-art" / "1", "stylegan", "preset: must be one of"),
    ):
        result = run(pictures, "--run", tmp_path / "run", "--out", out, f"--preset={preset}")
        assert result.exit_code == 2
        assert told in re.sub(r"[\s│]+", " ", result.output)
        assert not (tmp_path / "run").exists()
