"""Checkpoints: complete for every preset, and whole whatever happens while one is written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.making import TINY, operation, tiny, write_dataset
from tests.training.test_resume import assert_same_state
from unikat_training.checkpoint import (
    FOLDER,
    Progress,
    best_figure,
    checkpoints,
    choose_checkpoint,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from unikat_training.config import BEFORE, load_config
from unikat_training.errors import TrainingError
from unikat_training.loop import train
from unikat_training.metrics import read_metrics
from unikat_training.trainer import Trainer

# Everything that has a memory: schedules, a ramp, ADA between two of its moves, lazy penalties.
EVERYTHING: dict[str, float] = {
    "ada_target": 0.6,
    "ada_images": 100,
    "augment": 0.8,
    "gamma": 1.0,
    "lazy": 3,
    "decay_to": 40,
    "beta2": 0.9,
    "ema_images_from": 5,
    "condition_to": 30,
    "wrong_label_weight": 0.5,
}
WRITER = """
import sys, torch
from pathlib import Path
from unikat_training.checkpoint import Progress, save_checkpoint
if limit := int(sys.argv[2]):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # a file that grows further fails, as on a full disk
tensors = {str(index): torch.full((1000, 1000), float(index)) for index in range(40)}
step = 1
while True:
    step += 1
    save_checkpoint(Path(sys.argv[1]), Progress(step, step, 1.0), tensors, keep=2)
"""


@pytest.mark.parametrize("name", ["projected", "r3gan", "dcgan", "plain-gan"])
def test_every_preset_resumes_exactly_with_everything_that_has_a_memory(name: str, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    config = tiny(name, 16, **EVERYTHING)
    train(dataset, tmp_path / "whole", config, operation(28))
    for images in (12, 28):  # 3 and 7 steps: ADA moves after 4
        train(dataset, tmp_path / "parts", config, operation(images))
    assert_same_state(tmp_path / "whole", tmp_path / "parts")
    tensors = load_checkpoint(checkpoints(tmp_path / "parts")[-1], torch.device("cpu"))[1]
    probability, _, steps, seen = tensors["adaptive"].tolist()
    assert (steps, seen) == (3, 12)
    assert probability == read_metrics(tmp_path / "parts")[-1]["augment"]


def test_a_run_of_an_earlier_version_goes_on_as_it_was(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    new = (
        "clamp",
        "fine_tap",
        "wide_mixing",
        "auxiliary",
        "validation",
        "grouped_split",
        "wrong_label_one_attribute",
        "held_out",
    )
    old = replace(TINY, **{name: BEFORE[name] for name in new})  # type: ignore[arg-type]  # values of all kinds
    train(dataset, tmp_path / "whole", old, operation(16))
    train(dataset, tmp_path / "old", old, operation(8))
    config = tmp_path / "old" / "config.json"
    document = json.loads(config.read_text())
    document["config"] = {name: value for name, value in document["config"].items() if name not in BEFORE}
    assert len(document["config"]) < len(vars(TINY)) - 20
    config.write_text(json.dumps(document))
    begun, _ = load_config(tmp_path / "old")
    train(dataset, tmp_path / "old", begun, operation(16))
    assert_same_state(tmp_path / "whole", tmp_path / "old")


def test_the_names_in_a_checkpoint_stay_what_they_are(tmp_path: Path) -> None:
    names = Trainer(TINY, write_dataset(tmp_path / "shapes"), torch.device("cpu")).state().keys()
    assert {name.split(".")[0] for name in names} == {
        "generator",
        "average",
        "discriminator",
        "auxiliary",
        "rng",
    }  # moments come later
    assert {
        "average.mapping.embed.weight",
        "generator.start_conv.norm.norm.running_mean",
        "generator.to_rgb.weight",
        "discriminator.heads.3.to_logits.parametrizations.weight.original",
    } <= names


def test_a_checkpoint_has_no_moments_that_nothing_reads(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    trainers = [Trainer(replace(TINY, beta1=beta1), dataset, torch.device("cpu")) for beta1 in (0.0, 0.5)]
    for trainer in trainers:
        trainer.step(0)
    without, with_them = ({name.rpartition(".")[2] for name in trainer.state()} for trainer in trainers)
    assert with_them - without == {"exp_avg"}
    assert "exp_avg_sq" in without


def start_writing(run: Path, limit: int = 0) -> subprocess.Popen[str]:
    """A process that writes checkpoints of 160 MB, one after the other."""
    command = [sys.executable, "-c", WRITER, str(run), str(limit)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    process = start_writing(tmp_path)
    deadline = time.monotonic() + 90
    try:
        while not (checkpoints(tmp_path) and list(folder.glob(".writing-*/*"))):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "nothing was written in time"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    for path in checkpoints(tmp_path):
        progress, tensors = load_checkpoint(path, torch.device("cpu"))
        assert int(path.name) == progress.step
        assert all((tensors[str(index)] == index).all() for index in range(40))
    save_checkpoint(tmp_path, Progress(10**6, 1, 1.0), {"x": torch.zeros(1)}, keep=1)
    assert [path.name for path in folder.iterdir()] == ["001000000"]  # what was half written is gone


def test_a_full_disk_is_told_and_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Progress(1, 4, 1.0), {"x": torch.arange(3.0)}, keep=2)
    process = start_writing(tmp_path, limit=10_000_000)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 1
    told = errors.splitlines()[-1]
    assert "TrainingError" in told
    assert "000000002: the checkpoint cannot be written" in told
    assert "File too large" in told
    assert "make room" in told
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["000000001"]
    assert load_checkpoint(checkpoints(tmp_path)[-1], torch.device("cpu"))[1]["x"].tolist() == [0, 1, 2]


def test_a_checkpoint_is_chosen_by_name(tmp_path: Path) -> None:
    for step in (3, 20):
        save_checkpoint(tmp_path, Progress(step, step, 1.0), {"x": torch.zeros(1)}, keep=3)
    assert choose_checkpoint(tmp_path, "latest").name == "000000020"
    assert choose_checkpoint(tmp_path, "3").name == "000000003"
    with pytest.raises(TrainingError, match="one of the steps 3, 20, not 7"):
        choose_checkpoint(tmp_path, "7")
    with pytest.raises(TrainingError, match="no best checkpoint yet"):
        choose_checkpoint(tmp_path, "best")


def test_a_run_that_went_back_keeps_what_is_better(tmp_path: Path) -> None:
    save_best(tmp_path, Progress(20, 80, 1.0), {"x": torch.zeros(1)}, figure=3.0)
    assert best_figure(tmp_path) == 3.0
    # the run goes on from step 10, and is better at an earlier step than it was, then at the same
    for step, figure in ((12, 2.0), (20, 1.0), (20, 0.5)):
        save_best(tmp_path, Progress(step, 4 * step, 1.0), {"x": torch.full((1,), figure)}, figure)
        (found,) = checkpoints(tmp_path, "best")
        assert int(found.name) == step
        assert load_checkpoint(found, torch.device("cpu"))[1]["x"].item() == best_figure(tmp_path) == figure
