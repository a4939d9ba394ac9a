"""Rows of measurements in a JSON file: one a line, so that a change shows as what it is."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any, Final

import onnxruntime as ort

from benchmarks.figures import ROOT

Row = dict[str, Any]
RESULTS: Final = ROOT / "benchmarks" / "results"


def read_rows(path: Path) -> list[Row]:
    """Rows of earlier runs; none where there is no file."""
    if not path.exists():
        return []
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def read_machine(path: Path) -> dict[str, str]:
    """What the rows of a file depend on."""
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["machine"]
    return found


def write_rows(path: Path, rows: list[Row]) -> None:
    """Rows, one a line, and what they depend on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f'{{"machine": {json.dumps(machine())}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")


def machine() -> dict[str, str]:
    """What figures depend on beside the code."""
    cores = len(os.sched_getaffinity(0))
    return {
        "machine": f"{cores} cores of {platform.machine()}",
        "python": platform.python_version(),
        "onnxruntime": ort.__version__,
    }
