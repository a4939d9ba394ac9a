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

from training.errors import TrainingError

FORMAT = 1
FOLDER = "checkpoints"
TENSORS = "state.safetensors"
PROGRESS = "state.json"


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    images: int = 0  # training images shown
    seconds: float = 0.0  # spent training, in all sittings


def save_checkpoint(run: Path, progress: Progress, tensors: Mapping[str, Tensor], keep: int) -> Path:
    """Writes a checkpoint, then removes all but the last `keep`. A crash in between leaves the earlier ones whole."""
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{progress.step:09d}"
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, scratch / TENSORS)
    (scratch / PROGRESS).write_text(json.dumps({"format": FORMAT, **asdict(progress)}) + "\n")
    for name in (TENSORS, PROGRESS):
        flush(scratch / name)  # the rename must not reach the disk before the contents
    if target.exists():  # the same step, saved again at the end of a run
        shutil.rmtree(target)
    scratch.chmod(0o755)
    os.rename(scratch, target)
    flush(folder)
    for stale in [*checkpoints(run)[: -max(keep, 1)], *folder.glob(".writing-*")]:
        shutil.rmtree(stale)
    return target


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checkpoints(run: Path) -> list[Path]:
    """All checkpoints of a run, the latest last."""
    return sorted(path for path in (run / FOLDER).glob("[0-9]*") if path.is_dir())


def load_checkpoint(path: Path, device: torch.device) -> tuple[Progress, dict[str, Tensor]]:
    """Raises TrainingError, naming the file, for a checkpoint that cannot be read."""
    try:
        document = json.loads((path / PROGRESS).read_text())
        version = document.pop("format", None)
        if version != FORMAT:
            raise TrainingError(f"{path / PROGRESS}: format {version}; this program reads {FORMAT}")
        return Progress(**document), load_file(path / TENSORS, device=str(device))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(
            f"{path}: cannot be read ({error}); remove this folder to go on from the one before"
        ) from error
