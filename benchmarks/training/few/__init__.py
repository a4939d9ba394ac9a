"""From fifty pictures: trained from nothing, and from a model that has never seen their kind, for the same time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.figures import ROOT, write
from benchmarks.training.few.course import train_all
from benchmarks.training.few.data import few
from benchmarks.training.few.measure import Judge, Result, table

__all__ = ["measured", "publish", "table"]

GUIDE = ROOT / "docs" / "training.md"
PICTURE = ROOT / "docs" / "images" / "training-few.png"


def measured(
    work: Path, parent: str, minutes: float, jobs: int, say: Callable[[str], object]
) -> tuple[list[Result], bytes]:
    """Real pictures first, then all trainings; and what each of these draws (PNG)."""
    data = few(work / "data")
    courses = train_all(work, parent, minutes, jobs)
    torch.set_num_threads(jobs)
    judge = Judge.of(data)
    found = [judge.limit()]
    say(str(found[0]))
    for course in courses:
        found.append(judge.drawn(course))
        say(str(found[-1]))
    return found, judge.sheet(courses)


def publish(results: Path, found: Sequence[Result], sheet: bytes) -> None:
    """The figures into `results` and docs/training.md, the picture beside that."""
    lines = "".join(json.dumps(asdict(each)) + "\n" for each in found)
    (results / "few.jsonl").write_text(lines, encoding="utf-8")
    PICTURE.write_bytes(sheet)
    write("few", table(found), GUIDE)
