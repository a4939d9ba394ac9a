"""One contender on one data set, in a process of its own with one thread: from pictures to a bundle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.figures import ROOT
from benchmarks.training.contenders import CONTENDERS, Ours, Peer

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TOLD = "race.json"


@dataclass(frozen=True)
class Raced:
    """What a contender did in its time; its model is the bundle beside the file that this is kept in."""

    images: int  # training images shown
    cpu_seconds: float

    @property
    def images_per_second(self) -> float:
        return self.images / self.cpu_seconds


def bundle_of(folder: Path, name: str) -> Path:
    return folder / name / "1"


def race(name: str, data: Path, minutes: float, folder: Path) -> Raced:
    """Trains contender `name` in `folder`, unless it was done before; one that was interrupted begins anew."""
    if not (folder / TOLD).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        optimised = ["-O"] if isinstance(CONTENDERS[name], Peer) else []
        command = [sys.executable, *optimised, "-m", "benchmarks.training.race", name, str(data), str(folder)]
        with (folder / "log.txt").open("w") as log:
            environment = {**os.environ, **ONE_THREAD}
            ended = subprocess.run(
                [*command, "--minutes", f"{minutes:g}"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        if ended.returncode:
            raise SystemExit(f"{name}: ended with {ended.returncode}; see {folder / 'log.txt'}")
    return Raced(**json.loads((folder / TOLD).read_text()))


def main(name: str, data: Path, folder: Path, minutes: Annotated[float, typer.Option(help="Of CPU time.")]) -> None:
    """Train one contender, export it, and write down what it took."""
    contender, run, bundle = CONTENDERS[name], folder / "run", bundle_of(folder, name)
    if isinstance(contender, Ours):
        from benchmarks.training.ours import train_ours

        images, spent = train_ours(contender, data, minutes * 60, run, bundle)
    else:
        from benchmarks.training.peer import train_peer

        images, spent = train_peer(contender, data, minutes * 60, run, bundle)
    scratch = folder / f"{TOLD}.tmp"
    scratch.write_text(json.dumps(asdict(Raced(images, spent))))
    scratch.replace(folder / TOLD)


if __name__ == "__main__":
    typer.run(main)
