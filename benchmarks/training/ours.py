"""A preset, trained for a budget of CPU time and exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.training.budget import Stopwatch, stopping_after
from benchmarks.training.contenders import Ours
from unikat_training.config import Config
from unikat_training.data.dataset import Dataset
from unikat_training.export import export
from unikat_training.loop import train
from unikat_training.operation import Operation
from unikat_training.presets import load_preset
from unikat_training.trainer import Computing, Trainer


def train_ours(contender: Ours, data: Path, seconds: float, run: Path, bundle: Path) -> tuple[int, float]:
    """Trains in `run` and writes `bundle`; images shown and CPU seconds that they took.

    Counted is all that `unikat_training.loop.train` does until the budget is used up: building the networks, steps,
    sample sheets, checkpoints; not the imports before it, nor the last checkpoint, report and export after it.
    """
    dataset = Dataset.load(data)
    operation = Operation(
        images=10**9,
        device="cpu",
        threads=1,
        bf16=contender.bf16,
        channels_last=contender.channels_last,
        progress=False,
    )
    config = scheduled(load_preset(contender.preset, dataset.resolution), dataset, operation, seconds)
    with stopping_after(seconds):
        progress = train(dataset, run, config, operation)
    export(run, bundle)
    return progress.images, seconds


def scheduled(config: Config, dataset: Dataset, operation: Operation, seconds: float) -> Config:
    """The preset; a schedule that it has ends with the budget, as one would set it who knows how long it will be."""
    if not config.decay_to:
        return config
    return replace(config, decay_to=round(speed(config, dataset, operation) * seconds))


def speed(config: Config, dataset: Dataset, operation: Operation) -> float:
    """Images a CPU second, by a few steps of a trainer that is thrown away."""
    torch.set_num_threads(1)
    trained = dataset.split(config.shares).trained
    computing = Computing(operation.precision, operation.channels_last)
    trainer = Trainer(config, trained, torch.device("cpu"), computing)
    for step in range(config.lazy):
        trainer.step(step)
    watch = Stopwatch()
    for step in range(config.lazy, 2 * config.lazy):
        trainer.step(step)
    return config.lazy * config.batch / watch.seconds
