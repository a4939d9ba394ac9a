"""What a training image costs: CPU time of steps with one thread, all variants in turn, the median of the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.training.budget import Stopwatch
from benchmarks.training.contenders import SHARES
from unikat_training.config import Config
from unikat_training.data.dataset import Dataset
from unikat_training.presets import load_preset
from unikat_training.trainer import PLAIN, Computing, Trainer

BATCH = 32
STEPS = 8  # a round: whole cycles of `--lazy 8`
LAZY = (1, 4, 8)
PRECISIONS = {
    "as it is": PLAIN,
    "`--channels-last`": Computing(channels_last=True),
    "`--bf16`": Computing("bfloat16"),
    "`--bf16 --channels-last`": Computing("bfloat16", channels_last=True),
    "`--compile`": Computing(compile=True),
}


@dataclass
class Variant:
    """One way to train; `step` goes on from round to round."""

    trainer: Trainer
    step: int = 0

    def round(self, steps: int) -> float:
        """CPU time an image (ms)."""
        watch = Stopwatch()
        for _ in range(steps):
            self.trainer.step(self.step)
            self.step += 1
        return watch.seconds * 1000 / (steps * self.trainer.config.batch)


def measured(variants: Sequence[Variant], rounds: int, steps: int) -> list[float]:
    """Of each the median over the rounds, after one that does not count: it compiles, and fills caches."""
    times: list[list[float]] = []
    for _ in range(rounds + 1):
        times.append([variant.round(steps) for variant in variants])
    return [statistics.median(column) for column in zip(*times[1:], strict=True)]


def variant(config: Config, dataset: Dataset, computing: Computing = PLAIN) -> Variant:
    return Variant(Trainer(config, dataset, torch.device("cpu"), computing))


def preset(name: str, dataset: Dataset) -> Config:
    return replace(load_preset(name, dataset.resolution), batch=BATCH)


def penalties(dataset: Dataset, rounds: int, steps: int) -> list[str]:
    """Markdown: what R1 and R2 cost, every step, every k-th, and never."""
    config = preset("r3gan", dataset)
    configs = {"every step" if k == 1 else f"`--lazy {k}`": replace(config, lazy=k) for k in LAZY}
    configs[f"`--lazy {config.lazy}`"] = config  # if the preset's is none of them, it is shown too
    configs["none (`--gamma 0`)"] = replace(config, gamma=0.0)
    found = measured([variant(each, dataset) for each in configs.values()], rounds, steps)
    lines = ["| penalties | ms of CPU an image | |", "| --- | ---: | --- |"]
    for (name, each), time in zip(configs.items(), found, strict=True):
        own = " (the preset's)" if each == config else ""
        times = "" if name == "every step" else f"{found[0] / time:.1f} times as fast"
        lines.append(f"| {name}{own} | {time:.1f} | {times} |")
    return lines


def precisions(dataset: Dataset, rounds: int, steps: int) -> list[str]:
    """Markdown: what number formats, memory formats and the compiler bring."""
    columns = [replace(preset("r3gan", dataset), gamma=0.0), preset("projected", dataset)]
    variants = [variant(config, dataset, computing) for computing in PRECISIONS.values() for config in columns]
    found = measured(variants, rounds, steps)
    lines = ["| | `r3gan` without penalties (ms) | `projected` (ms) |", "| --- | ---: | ---: |"]
    for row, name in enumerate(PRECISIONS):
        lines.append(f"| {name} | {found[2 * row]:.1f} | {found[2 * row + 1]:.1f} |")
    return lines


def load(data: Path) -> Dataset:
    """What is trained on, of a prepared data set."""
    torch.set_num_threads(1)
    return Dataset.load(data).split(SHARES).trained
