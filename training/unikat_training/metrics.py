"""The figures of a run, a line of JSON each time they are logged, and the same for TensorBoard."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from unikat_training.checkpoint import Progress

METRICS = "metrics.jsonl"
WARNINGS = "warnings.jsonl"
TENSORBOARD = "tensorboard"

log = logging.getLogger(__name__)


def read_rows(path: Path) -> list[dict[str, float]]:
    """The lines of a file that may not be there; one that a kill cut short is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def read_metrics(run: Path) -> list[dict[str, float]]:
    return read_rows(run / METRICS)


def append(path: Path, row: Mapping[str, float | str]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def forget_after(run: Path, progress: Progress) -> None:
    """Drop lines that a killed session wrote after its last checkpoint: they will be written again."""
    for name in (METRICS, WARNINGS):
        kept = [row for row in read_rows(run / name) if row["step"] <= progress.step]
        scratch = run / f".{name}"
        scratch.write_text("".join(json.dumps(row) + "\n" for row in kept))
        scratch.replace(run / name)


class TensorBoard:
    """Event files, if the package `tensorboard` is there; a session has a file of its own."""

    def __init__(self, run: Path) -> None:
        try:
            from tensorboard.summary import Writer
        except ImportError:
            log.info("the package tensorboard is not installed: no event files are written")
            self.writer = None
        else:
            self.writer = Writer(str(run / TENSORBOARD))

    def write(self, images: int, figures: Mapping[str, float]) -> None:
        """At a horizontal position of so many images."""
        if self.writer is not None:
            for name, value in figures.items():
                self.writer.add_scalar(name, value, images)
            self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
