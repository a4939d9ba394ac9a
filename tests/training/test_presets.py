"""Presets: complete, explained, and refused with the file and the key where something is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.making import write_dataset
from unikat_training.cli import app
from unikat_training.config import RESOLUTIONS, Config
from unikat_training.errors import TrainingError
from unikat_training.presets import load_preset, parse_preset, preset_names, preset_text

NAMES = ("dcgan", "plain-gan", "projected", "r3gan")
ALL = ("dcgan", "finetune", "plain-gan", "projected", "r3gan")  # that one says what to do differently from a parent


def test_there_are_five_and_each_that_begins_from_nothing_has_settings_for_every_size() -> None:
    assert tuple(preset_names()) == ALL
    for name in NAMES:
        for resolution in RESOLUTIONS:
            config = load_preset(name, resolution)
            config.check_resolution(resolution)
            assert config.preset == name
        assert [f"[px.{size}]" in preset_text(name) for size in (32, 64, 128, 256)] == [True] * 4


@pytest.mark.parametrize("name", ALL)
def test_every_value_is_explained(name: str) -> None:
    values = [line for line in preset_text(name).splitlines() if re.match(r"\w+ *=", line)][1:]  # [0]: description
    assert len(values) > 10
    assert [line for line in values if not re.search(r" # \S.{4,}", line)] == []


def test_the_defaults_of_the_program_are_those_of_projected() -> None:
    assert load_preset("projected", 64) == Config()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[common]\nwidht = 3", r"mine.toml: \[common\] unknown widht; known are .*width"),
        ('[common]\nwidth = "3"', r"mine.toml: \[common\] width: must be int, not '3'"),
        ('[common]\nloss = "wgan"', r"mine.toml: \[common\] loss: must be one of hinge, rpgan, bce, not 'wgan'"),
        ("[px.32]\nbatch = true", r"mine.toml: \[px.32\] batch: must be int, not True"),
        ("[common]\nbatch = 1", r"mine.toml: batch: must be at least 2, not 1"),
        ("[comon]\nbatch = 4", r"mine.toml unknown comon; known are description, common, px"),
        ("px = 3", r"mine.toml: px must be a table"),
        ("[common", r"mine.toml: is not TOML"),
    ],
)
def test_what_cannot_be_is_refused_with_file_key_and_choices(text: str, told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        parse_preset("mine", text, 32, "mine.toml")


def test_the_size_decides_over_what_is_common() -> None:
    text = "[common]\nbatch = 4\nwidth = 5\n[px.64]\nwidth = 6"
    assert [parse_preset("x", text, size, "x").width for size in (32, 64)] == [5, 6]
    assert parse_preset("x", text, 64, "x").batch == 4


def test_the_command_lists_and_prints_them() -> None:
    listed = CliRunner().invoke(app, ["presets"])
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(ALL)
    assert CliRunner().invoke(app, ["presets", "r3gan"]).stdout == preset_text("r3gan")
    refused = CliRunner().invoke(app, ["presets", "stylegan"])
    assert refused.exit_code == 2
    assert "preset: must be one of dcgan, finetune, plain-gan, projected, r3gan" in " ".join(refused.output.split())


def test_flags_win_over_the_preset_and_everything_is_recorded(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    small = ["--width=4", "--max-width=8", "--discriminator-width=4", "--discriminator-max-width=8", "--batch=4"]
    flags = [*small, "--preset=r3gan", "--gamma=3", "--images=4", "--threads=1", "--no-progress"]
    result = CliRunner().invoke(app, ["train", str(dataset.path), "--run", str(tmp_path / "run"), *flags])
    assert result.exit_code == 0, result.output
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert recorded == {
        **vars(load_preset("r3gan", 16)),
        "width": 4,
        "max_width": 8,
        "discriminator_width": 4,
        "discriminator_max_width": 8,
        "batch": 4,
        "gamma": 3.0,
    }


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("batch", 1, "at least 2"),
        ("balance", 1.5, "0 to 1"),
        ("loss", "l2", "one of hinge, rpgan, bce"),
        ("condition_from", -1, "at least 0"),
    ],
)
def test_a_setting_says_what_it_may_be(name: str, value: float | str, allowed: str) -> None:
    with pytest.raises(TrainingError, match=f"{name}: must be {allowed}, not {value}"):
        Config(**{name: value})  # type: ignore[arg-type]  # values of all kinds
