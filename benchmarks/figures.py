"""The tables of benchmarks/README.md and docs/: the command that measures one puts it between its two comments."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from unikat.bundle import Bundle, key_of, list_bundles, read_bundle

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "benchmarks" / "README.md"


def newest(models: Path, name: str) -> Bundle:
    """The newest version of a model in a folder of bundles."""
    return read_bundle([path for path in list_bundles(models) if path.parent.name == name][-1])


def machine(bundle: Bundle) -> str:
    """What the figures depend on: the model, this machine, the versions."""
    cores = len(os.sched_getaffinity(0))
    size = f"{bundle.model.width} × {bundle.model.height} px"
    versions = f"onnxruntime {ort.__version__}, Python {platform.python_version()}"
    return f"`{key_of(bundle.model)}` ({size}), {cores} cores of {platform.machine()}, {versions}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share (0 to 1) of the values lies."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(len(ranked) * share))]


def write(name: str, lines: Sequence[str], document: Path = README) -> None:
    """Put lines between `<!-- name: … -->` and `<!-- end of name -->`."""
    text = document.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- {name}: [^>]*-->).*?(<!-- end of {name} -->)", re.S)
    found = block.search(text)
    assert found is not None, f"{document} has no place for {name}"
    new = "\n".join((found.group(1), "", *lines, "", found.group(2)))
    document.write_text(text[: found.start()] + new + text[found.end() :], encoding="utf-8")
