"""Checkpoints: one folder each, `state.safetensors` beside `state.json`, there wholly or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unikat_training.errors import TrainingError
from unikat_training.renamed import current_tensors
from unikat_training.tensor_files import check_tensors

FORMAT = 2
READABLE = (1, 2)  # 1: with the tensors' earlier names
FOLDER = "checkpoints"
BEST = "best"
TENSORS = "state.safetensors"
PROGRESS = "state.json"


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    images: int = 0  # training images shown
    seconds: float = 0.0  # spent training, in all sessions


def save_checkpoint(run: Path, progress: Progress, tensors: Mapping[str, Tensor], keep: int) -> Path:
    """Writes a checkpoint, then removes all but the last `keep`. A crash in between leaves the earlier ones whole.

    Raises TrainingError when it cannot be written, as on a full disk.
    """
    return write(run / FOLDER, progress, tensors, keep, {})


def save_best(run: Path, progress: Progress, tensors: Mapping[str, Tensor], figure: float) -> Path:
    """Writes the best checkpoint so far, with the figure that says so, in the place of the best before.

    The one before may be of a later step, or of the same: the run may have gone back to an earlier checkpoint.
    """
    shutil.rmtree(run / BEST / step_name(progress), ignore_errors=True)
    return write(run / BEST, progress, tensors, 1, {"figure": figure})


def best_figure(run: Path) -> float | None:
    """The figure of the best checkpoint, None if there is none."""
    found = checkpoints(run, BEST)
    return float(json.loads((found[-1] / PROGRESS).read_text())["figure"]) if found else None


def step_name(progress: Progress) -> str:
    return f"{progress.step:09d}"


def write(
    folder: Path, progress: Progress, tensors: Mapping[str, Tensor], keep: int, more: Mapping[str, float]
) -> Path:
    target = folder / step_name(progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():  # the same step again, at the end of a run, would be the same
            publish(folder, target, progress, tensors, more)
        others = sorted(path for path in folder.glob("[0-9]*") if path != target)
        for stale in [*others[: len(others) + 1 - max(keep, 1)], *folder.glob(".writing-*")]:
            shutil.rmtree(stale)
    except (OSError, SafetensorError) as error:
        for unfinished in folder.glob(".writing-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        raise TrainingError(
            f"{target}: the checkpoint cannot be written ({error}); earlier ones are whole: "
            "make room and start the same command again"
        ) from error
    return target


def publish(
    folder: Path, target: Path, progress: Progress, tensors: Mapping[str, Tensor], more: Mapping[str, float]
) -> None:
    """Writes aside, then renames: what has the name of a checkpoint is one."""
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, scratch / TENSORS)
    (scratch / PROGRESS).write_text(json.dumps({"format": FORMAT, **asdict(progress), **more}) + "\n")
    for name in (TENSORS, PROGRESS):
        flush(scratch / name)  # the rename must not reach the disk before the contents
    scratch.chmod(0o755)
    os.rename(scratch, target)
    flush(folder)


def flush(path: Path) -> None:
    """Has the disk hold what was written; Windows opens no folders, and keeps their entries by itself."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows flushes only what it may write
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checkpoints(run: Path, folder: str = FOLDER) -> list[Path]:
    """All checkpoints of a run, the latest last."""
    return sorted(path for path in (run / folder).glob("[0-9]*") if path.is_dir())


def choose_checkpoint(run: Path, which: str) -> Path:
    """ "latest", "best" or a step. Raises TrainingError, with those that there are, when it is not there."""
    found = checkpoints(run, BEST if which == "best" else FOLDER)
    if which not in ("latest", "best"):
        named = [path for path in [*found, *checkpoints(run, BEST)] if path.name.lstrip("0") == which.lstrip("0")]
        if not named:
            steps = ", ".join(path.name.lstrip("0") for path in found)
            raise TrainingError(f"--checkpoint: must be latest, best or one of the steps {steps}, not {which}")
        return named[0]
    if not found:
        raise TrainingError(f"{run}: has no {which} checkpoint yet; train it first")
    return found[-1]


def load_checkpoint(path: Path, device: torch.device) -> tuple[Progress, dict[str, Tensor]]:
    """Raises TrainingError, naming the file, for a checkpoint that cannot be read."""
    try:
        document = json.loads((path / PROGRESS).read_text())
        version = document.pop("format", None)
        if version not in READABLE:
            raise TrainingError(f"{path / PROGRESS}: format {version}; this program reads {READABLE}")
        document.pop("figure", None)
        check_tensors(path / TENSORS)
        return Progress(**document), current_tensors(load_file(path / TENSORS, device=str(device)))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(
            f"{path}: cannot be read ({error}); remove this folder to go on from the one before"
        ) from error
