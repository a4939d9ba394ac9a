"""What is listed of a folder before any picture is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field

from unikat_training.data.folder.container import Container
from unikat_training.data.report import Problem


@dataclass
class Labels:
    """Of pictures, from whatever: for each a value for each attribute, None where there is none."""

    attributes: tuple[str, ...] = ()
    of: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)  # picture -> train, …, where something says so
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # how they were found


@dataclass
class Listing:
    """Pictures and their labels, before any is decoded. Without attributes it is a plain set."""

    container: Container
    attributes: tuple[str, ...] = ()
    items: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # a picture's name, its categories
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # how labels were found

    def tell(self, labels: Labels) -> None:
        """Takes over what there is to be said of labels."""
        self.problems += labels.problems
        self.warnings += labels.warnings
        self.notes += labels.notes
