"""A run that was stopped in any way goes on as if it had not been."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.making import TINY, operation, write_dataset
from unikat_training.checkpoint import TENSORS, checkpoints, load_checkpoint
from unikat_training.config import Config
from unikat_training.environment import record_environment, slow_precision
from unikat_training.errors import TrainingError
from unikat_training.loop import train
from unikat_training.metrics import METRICS, read_metrics
from unikat_training.schedules import rates_at

FLAGS = [
    f"--{name.replace('_', '-')}={getattr(TINY, name)}"
    for name in ("batch", "latent", "width", "max_width", "feature_size", "ema_images")
]


def last_state(run: Path) -> dict[str, Tensor]:
    return load_checkpoint(checkpoints(run)[-1], torch.device("cpu"))[1]


def assert_same_state(run: Path, other: Path) -> None:
    one, two = last_state(run), last_state(other)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def begin(dataset: Path, run: Path) -> subprocess.Popen[str]:
    """A training process that would go on for long, with a checkpoint each second."""
    command = [sys.executable, "-m", "unikat_training", "train", str(dataset), "--run", str(run), *FLAGS]
    command += ["--threads=1", "--images=10000000", "--checkpoint-seconds=1", "--log-images=4", "--sheet-images=100000"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_checkpoint(run: Path, process: subprocess.Popen[str], seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while not checkpoints(run):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "no checkpoint in time"
        time.sleep(0.05)


def test_a_run_in_two_sessions_equals_one_in_one(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    train(dataset, tmp_path / "whole", TINY, operation(32))
    train(dataset, tmp_path / "halves", TINY, operation(16))
    progress = train(dataset, tmp_path / "halves", TINY, operation(32))
    assert (progress.step, progress.images) == (8, 32)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    losses = [
        [(row["step"], row["generator"]) for row in read_metrics(tmp_path / name)] for name in ("whole", "halves")
    ]
    assert losses[0] == losses[1]


def test_a_mirrored_plain_run_resumes_exactly_too(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes", plain=True)
    config = Config(**{**vars(TINY), "mirror": True})
    train(dataset, tmp_path / "whole", config, operation(16))
    for images in (4, 8, 16):
        train(dataset, tmp_path / "parts", config, operation(images))
    assert_same_state(tmp_path / "whole", tmp_path / "parts")


def test_a_falling_learning_rate_resumes_exactly_and_changes_nothing_before_it_falls(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    config = Config(**{**vars(TINY), "decay_from": 8, "decay_to": 24})
    rates = [rates_at(config, images, rule=1.0).learning_rate for images in (0, 8, 16, 24, 1000)]
    full = TINY.learning_rate
    assert rates == pytest.approx([full, full, 0.55 * full, 0.1 * full, 0.1 * full])
    train(dataset, tmp_path / "whole", config, operation(16))
    for images in (8, 16):
        train(dataset, tmp_path / "parts", config, operation(images))
    assert_same_state(tmp_path / "whole", tmp_path / "parts")
    train(dataset, tmp_path / "constant", TINY, operation(16))
    falling, constant = (
        [row["generator"] for row in read_metrics(tmp_path / name) if row["images"] <= 8]
        for name in ("whole", "constant")
    )
    assert falling
    assert falling == constant


def test_a_run_in_bfloat16_learns_alike_and_resumes_exactly(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    train(dataset, tmp_path / "whole", TINY, operation(8, bf16=True))
    for images in (4, 8):
        train(dataset, tmp_path / "parts", TINY, operation(images, bf16=True))
    assert_same_state(tmp_path / "whole", tmp_path / "parts")
    train(dataset, tmp_path / "float32", TINY, operation(8))
    rough, fine = (read_metrics(tmp_path / name)[-1]["generator"] for name in ("whole", "float32"))
    assert rough != fine
    assert rough == pytest.approx(fine, abs=0.1)
    train(dataset, tmp_path / "float32", TINY, operation(12, bf16=True))
    recorded = json.loads((tmp_path / "float32" / "environment.json").read_text())
    assert recorded["precisions"] == ["float32", "bfloat16"]  # what the model card will say
    assert recorded["hardware"] == "CPU, 1 core"
    record_environment(tmp_path / "float32", torch.device("cpu"), "bfloat16", processes=2)
    recorded = json.loads((tmp_path / "float32" / "environment.json").read_text())
    assert recorded["hardware"] == "CPU, 1 core, then 2 x CPU, 1 core"


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="reads /proc/cpuinfo of x86")
@pytest.mark.parametrize(("precision", "flag"), [("bfloat16", "bf16"), ("float16", "fp16")])
def test_a_number_format_that_the_processor_has_no_instructions_for_is_told(precision: str, flag: str) -> None:
    has = {f"avx512_{flag}", f"amx_{flag}"} & set(Path("/proc/cpuinfo").read_text().split())
    told = slow_precision(torch.device("cpu"), precision)
    assert (told is None) == bool(has)
    assert told is None or f"use --no-{flag}" in told
    assert slow_precision(torch.device("cpu"), "float32") is None
    assert slow_precision(torch.device("cuda"), precision) is None


def test_a_run_killed_at_any_moment_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    process = begin(dataset.path, tmp_path / "killed")
    try:
        wait_for_checkpoint(tmp_path / "killed", process)
    finally:
        process.kill()
        process.communicate()
    with (tmp_path / "killed" / METRICS).open("a") as file:
        file.write('{"step": 1, "ima')  # a line that the kill cut short
    reached = int(checkpoints(tmp_path / "killed")[-1].name) * TINY.batch
    train(dataset, tmp_path / "killed", TINY, operation(reached + 16))
    train(dataset, tmp_path / "whole", TINY, operation(reached + 16))
    assert_same_state(tmp_path / "killed", tmp_path / "whole")
    steps = [row["step"] for row in read_metrics(tmp_path / "killed")]
    assert steps == list(range(1, len(steps) + 1))


def test_sigterm_writes_a_checkpoint_and_ends_well(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    process = begin(dataset.path, tmp_path / "run")
    try:
        wait_for_checkpoint(tmp_path / "run", process)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    step = int(checkpoints(tmp_path / "run")[-1].name)
    assert f"{step * TINY.batch:,} images" in output
    assert read_metrics(tmp_path / "run")[-1]["step"] == step


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    train(dataset, tmp_path / "run", TINY, operation(16, checkpoint_seconds=0, keep=2))
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["000000003", "000000004"]
    assert [path for path in (tmp_path / "run" / "checkpoints").iterdir() if path.name.startswith(".")] == []


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    train(dataset, tmp_path / "run", TINY, operation(4))
    damaged = checkpoints(tmp_path / "run")[-1]
    os.truncate(damaged / TENSORS, 1000)
    with pytest.raises(TrainingError, match="000000001: cannot be read"):
        train(dataset, tmp_path / "run", TINY, operation(8))


def test_another_configuration_is_refused_by_name(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    train(dataset, tmp_path / "run", TINY, operation(4))
    other = Config(**{**vars(TINY), "learning_rate": 0.01, "width": 6})
    with pytest.raises(TrainingError, match=r"width was 4, now 6; learning_rate was 0.0004, now 0.01"):
        train(dataset, tmp_path / "run", other, operation(8))


def test_another_data_set_is_refused(tmp_path: Path) -> None:
    train(write_dataset(tmp_path / "shapes"), tmp_path / "run", TINY, operation(4))
    with pytest.raises(TrainingError, match="the data set was"):
        train(write_dataset(tmp_path / "others", count=50), tmp_path / "run", TINY, operation(8))


def test_a_run_writes_what_one_wants_to_look_at(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    train(dataset, tmp_path / "run", TINY, operation(16, sheet_images=8))
    assert sorted(path.name for path in (tmp_path / "run" / "sheets").iterdir()) == ["000000008.png", "000000016.png"]
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["hardware"] == "CPU, 1 core"
    assert {"torch", "numpy", "python", "unikat"} <= environment.keys()
