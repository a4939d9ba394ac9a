"""Two processes that share each step learn what one learns alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.making import operation, tiny, write_dataset
from unikat_training.checkpoint import checkpoints, load_checkpoint
from unikat_training.config import save_config
from unikat_training.data.dataset import Dataset
from unikat_training.loop import train
from unikat_training.metrics import read_metrics

MEMORY: dict[str, float] = {"batch": 8, "ada_target": 0.6, "ada_images": 100, "learning_rate": 1e-5, "augment": 0.5}
PRESETS = {
    # without batch norm, which on CPUs sees a process's share only
    "projected": replace(tiny("projected", 16, **MEMORY), generator="r3gan"),
    "r3gan": tiny("r3gan", 16, **{**MEMORY, "lazy": 2}),  # second derivatives
    "fastgan": tiny("projected", 16, **MEMORY),
}


def prepared(tmp_path: Path, name: str, run: str) -> list[str]:
    """The arguments of a run with the tiny preset."""
    dataset = tmp_path / "shapes"
    loaded = write_dataset(dataset) if not dataset.exists() else None
    digest = json.loads((dataset / "dataset.json").read_text())["digests"]["images.npy"]
    (tmp_path / run).mkdir()
    save_config(tmp_path / run, PRESETS[name], {"name": "shapes", "path": str(dataset), "digest": digest})
    assert loaded is None or loaded.digest == digest
    return ["train", str(dataset), "--run", str(tmp_path / run), "--log-images=8", "--threads=1", "--no-progress"]


def run_training(arguments: list[str], processes: int) -> subprocess.Popen[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m", "--"]
    command = [sys.executable, *launcher, "unikat_training", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process: subprocess.Popen[str]) -> str:
    try:
        output, errors = process.communicate(timeout=110)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return output


@pytest.mark.parametrize("name", ["projected", "r3gan"])
def test_two_processes_have_the_losses_of_one_with_the_whole_batch(name: str, tmp_path: Path) -> None:
    together = run_training([*prepared(tmp_path, name, "together"), "--images=40"], processes=2)
    train(Dataset.load(tmp_path / "shapes"), tmp_path / "alone", PRESETS[name], operation(40, log_images=8))
    output = finished(together)
    assert output.count("40 images") == 1  # said by the one that leads
    one, two = (read_metrics(tmp_path / run) for run in ("alone", "together"))
    assert [row["step"] for row in one] == [row["step"] for row in two] == [1, 2, 3, 4, 5]
    for figure in ("discriminator", "generator", "real", "fake", "penalty", "overfitting", "augment"):
        assert [row[figure] for row in one] == pytest.approx([row[figure] for row in two], rel=2e-3, abs=2e-4), figure
    states = [load_checkpoint(checkpoints(tmp_path / run)[-1], torch.device("cpu"))[1] for run in ("alone", "together")]
    assert torch.equal(states[0]["rng"], states[1]["rng"])
    assert states[0].keys() == states[1].keys()


def test_batch_norm_of_a_share_changes_little(tmp_path: Path) -> None:
    finished(run_training([*prepared(tmp_path, "fastgan", "together"), "--images=40"], processes=2))
    train(Dataset.load(tmp_path / "shapes"), tmp_path / "alone", PRESETS["fastgan"], operation(40, log_images=8))
    one, two = (read_metrics(tmp_path / run)[-1] for run in ("alone", "together"))
    for figure in ("discriminator", "generator", "real", "fake"):
        assert one[figure] == pytest.approx(two[figure], rel=0.1, abs=0.1), figure


def test_a_run_of_two_processes_stops_at_sigterm_and_goes_on(tmp_path: Path) -> None:
    arguments = prepared(tmp_path, "r3gan", "run")
    process = run_training([*arguments, "--images=10000000", "--checkpoint-seconds=1"], processes=2)
    deadline = time.monotonic() + 80
    try:
        while not checkpoints(tmp_path / "run"):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no checkpoint in time"
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    finally:
        process.kill()
    reached = int(checkpoints(tmp_path / "run")[-1].name)
    assert read_metrics(tmp_path / "run")[-1]["step"] == reached
    output = finished(run_training([*arguments, f"--images={reached * 8 + 16}"], processes=2))
    assert f"{reached * 8 + 16:,} images" in output
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == list(range(1, reached + 3))


def test_a_batch_that_cannot_be_shared_out_is_refused(tmp_path: Path) -> None:
    arguments = prepared(tmp_path, "fastgan", "run")
    process = run_training([*arguments, "--images=40"], processes=3)
    _, errors = process.communicate(timeout=110)
    assert process.returncode != 0
    assert "batch: must be a multiple of the 3 processes, not 8" in " ".join(errors.split())
