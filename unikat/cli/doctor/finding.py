"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How a finding is to be taken: word and style."""

    OK = ("ok", "green")
    NOTE = ("note", "yellow")
    PROBLEM = ("PROBLEM", "bold red")


@dataclass(frozen=True)
class Finding:
    """`remedy` says what to do where it is not in order; a `detail` is shown with --all only."""

    level: Level
    what: str
    found: str
    remedy: str = ""
    detail: bool = False
