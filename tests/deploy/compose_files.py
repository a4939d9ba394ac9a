"""The compose files and Dockerfiles as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"

Node = dict[str, Any]  # what YAML holds


class _Reset:
    """`!reset`: what an override takes away."""


class _Loader(yaml.SafeLoader):
    """YAML with compose's tags."""


_Loader.add_constructor("!reset", lambda loader, node: _Reset())


def load(*names: str) -> Node:
    """The named files of deploy/, each merged over the ones before, as compose does it."""
    merged: Node = {}
    for name in names:
        with (DEPLOY / name).open(encoding="utf-8") as file:
            merged = _merge(merged, yaml.load(file, _Loader))  # a SafeLoader
    return merged


def _merge(base: Node, over: Node) -> Node:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, _Reset):
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merge(merged.get(key, {}), value)
        elif isinstance(value, list):
            merged[key] = [*merged.get(key, []), *value]
        else:
            merged[key] = value
    return merged


@dataclass(frozen=True)
class Stage:
    """One `FROM`: its base and the instructions after it, as (name, arguments)."""

    base: str
    steps: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """Arguments of every instruction of that name."""
        return [arguments for step, arguments in self.steps if step == name]


def stages(name: str) -> list[Stage]:
    """The stages of a Dockerfile of deploy/, with `${BASE}` filled in from its ARG."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / name).read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    steps = [(step.upper(), arguments.strip()) for step, _, arguments in (line.partition(" ") for line in lines)]
    base = next((a.partition("=")[2] for step, a in steps if step == "ARG" and a.startswith("BASE=")), "")
    starts = [i for i, (step, _) in enumerate(steps) if step == "FROM"]
    return [
        Stage(steps[start][1].split()[0].replace("${BASE}", base), tuple(steps[start + 1 : end]))
        for start, end in zip(starts, [*starts[1:], len(steps)], strict=True)
    ]
