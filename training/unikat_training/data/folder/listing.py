"""What is listed of a folder before any picture is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unikat_training.data.folder.container import Place
from unikat_training.data.report import Problem


@dataclass
class Listing:
    """Pictures and their labels, before any is decoded. Without attributes it is a plain set."""

    path: Path
    attributes: tuple[str, ...] = ()
    items: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # a picture's name, its categories
    places: Mapping[str, Place] = field(default_factory=dict)  # where pictures are, by name
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # how labels were found
    litter: Counter[str] = field(default_factory=Counter)


@dataclass
class Found:
    """What labels there are, whatever they come from: for each picture a value an attribute."""

    attributes: tuple[str, ...] = ()
    of: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
