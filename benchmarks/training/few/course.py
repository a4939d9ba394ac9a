"""Trainings of the same CPU time, each in a process of its own with one thread: from nothing, and from a parent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer

from benchmarks.figures import ROOT
from benchmarks.training.budget import stopping_after
from benchmarks.training.few.data import COUNTS
from benchmarks.training.race import ONE_THREAD
from unikat_training.config import Config
from unikat_training.data.dataset import Dataset
from unikat_training.loop import train
from unikat_training.operation import Operation
from unikat_training.presets import load_preset
from unikat_training.warm_start.parent import Parent, find_parent
from unikat_training.warm_start.settings import finetune_config, network_settings

TOLD = "done.json"
NOTHING, PARENT = "scratch", "from"  # what a training begins with
WAYS: Final = (NOTHING, PARENT)
EVERY_PICTURE: Final[dict[str, Any]] = {"held_out": 0.0, "validation": 0.0}  # what is measured on is other pictures
# By default the classifier has a say only after more images than there is time for.
SOON: Final = {"auxiliary_from": 2_000, "auxiliary_to": 6_000}


@dataclass(frozen=True)
class Course:
    """A training: of how many pictures, and what it begins with."""

    way: str
    count: int
    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def images(self) -> int:
        """Shown in its time."""
        images: int = json.loads((self.folder / TOLD).read_text())["images"]
        return images


def courses(work: Path, minutes: float) -> Iterator[Course]:
    for count in COUNTS:
        for way in WAYS:
            yield Course(way, count, work / f"{minutes:g}-minutes" / f"{way}-{count}")


def config_of(way: str, parent: Parent, resolution: int) -> Config:
    """From nothing: `projected` with the parent's networks, so that an image takes as long."""
    if way == PARENT:
        return finetune_config(parent, resolution, EVERY_PICTURE)
    changes: dict[str, Any] = {**SOON, **EVERY_PICTURE, **network_settings(parent, resolution)}
    return replace(load_preset("projected", resolution), **changes)


def train_one(
    way: str,
    data: Path,
    folder: Path,
    parent: Annotated[str, typer.Option("--from", help="A bundle, a run, or a model below `models`.")],
    minutes: Annotated[float, typer.Option(help="Of CPU time.")],
) -> None:
    """In this process, with one thread; writes down how many images it was shown."""
    dataset, found = Dataset.load(data), find_parent(parent, ROOT / "models")
    operation = Operation(images=10**9, device="cpu", threads=1, bf16=True, progress=False, sheet_images=4_000)
    config = config_of(way, found, dataset.resolution)
    with stopping_after(minutes * 60):
        progress = train(dataset, folder / "run", config, operation, found if way == PARENT else None)
    (folder / TOLD).write_text(json.dumps({"images": progress.images}))


def train_all(work: Path, parent: str, minutes: float, jobs: int) -> list[Course]:
    """Those that were trained before are not trained again."""

    def one(course: Course) -> Course:
        if (course.folder / TOLD).exists():
            return course
        shutil.rmtree(course.folder, ignore_errors=True)
        course.folder.mkdir(parents=True)
        command = [sys.executable, "-m", "benchmarks.training.few.course", course.way]
        command += [str(work / "data" / str(course.count)), str(course.folder)]
        command += ["--from", parent, "--minutes", f"{minutes:g}"]
        with (course.folder / "log.txt").open("w") as log:
            ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, stdout=log, stderr=log)
        if ended.returncode:
            raise SystemExit(f"{course.folder}: ended with {ended.returncode}; see its log.txt")
        return course

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, courses(work, minutes)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(train_one)
