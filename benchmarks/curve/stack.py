"""One Valkey, one service and sleeping workers, as a contender of benchmarks.peers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.curve.sleeping_worker import BATCH_MS, HOLD, IMAGE_MS
from benchmarks.peers.contenders import UNIKAT, Commands, Contender
from benchmarks.work import Job

SLEEPING = "benchmarks.curve.sleeping_worker"


def sleeping(workers: int, batch_ms: float, image_ms: float, hold: Path | None = None) -> Contender:
    """Unikat with `workers` workers, each with a GPU that takes `batch_ms` a batch and `image_ms` an image more."""

    def commands(programs: Path, job: Job, folder: Path) -> Commands:
        parts = UNIKAT.commands(programs, job, folder)
        worker = [SLEEPING if word == "unikat_worker" else word for word in parts.pop("worker")]
        return parts | {f"worker {number + 1}": worker for number in range(workers)}

    variables = [(BATCH_MS, str(batch_ms)), (IMAGE_MS, str(image_ms)), ("UNIKAT_MAX_QUEUE", "1000000")]
    if hold is not None:
        variables.append((HOLD, str(hold)))
    return replace(UNIKAT, commands=commands, variables=tuple(variables))
