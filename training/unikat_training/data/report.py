"""What a preparation kept and what it left out, by name: `report.json` and the printed table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.table import Table

from unikat.terminal import Console
from unikat_training.data.dataset import Attribute

# Every kind of problem and what happens to its item.
KINDS: Final[Mapping[str, str]] = {
    "broken": "left out: cannot be decoded",
    "unreadable format": "left out: a picture of a format that is not read here",
    "other format": "ignored: not read here, but there is a picture of that name",
    "invisible": "left out: nothing of it shows on the background",
    "unlabelled": "left out: no label",
    "label without image": "ignored: the file is not there",
    "duplicate": "left out: same pixels as an earlier image",
    "conflict": "left out: same pixels as an earlier image, other labels",
    "bad label": "ignored: the row cannot be used",
    "unsafe": "ignored: path leads outside, loops or is too large",
    "excluded": "left out on purpose",
    "not an image": "ignored: another kind of file",
}
# Kinds by which a picture is lost that somebody wanted, and how to have it all the same.
LOSSES: Final[Mapping[str, str]] = {
    "broken": "mend these files, or remove them",
    "unreadable format": "save these as PNG or JPEG",
    "invisible": "--background COLOUR shows them, --channels rgba keeps alpha",
    "unlabelled": "--labels none takes all pictures without labels, --split NAME those of one split; --labels FILE, "
    "--file-column, --attribute and --label-level say where labels are",
    "conflict": "keep one of those that are the same, or --labels none",
    "unsafe": "make these smaller, or remove them",
}
RARE = 10  # fewer images than this are hardly learnt
NAMES_PRINTED = 3
LONG = 3  # times as long as wide; of such a picture a crop keeps a third or less
SOME = 0.05  # of the pictures: fewer are not worth a warning


@dataclass(frozen=True)
class Problem:
    """An item that is not in the data set, or a label that is not used; `kind` is a key of KINDS."""

    kind: str
    item: str
    detail: str = ""


@dataclass
class Report:
    """The account of one preparation. It holds no times and no absolute paths: the same input, the same report."""

    name: str
    resolution: int
    channels: int = 3
    count: int = 0
    attributes: tuple[Attribute, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    digest: str = ""
    notes: tuple[str, ...] = ()  # how pictures were read
    litter: Mapping[str, int] = field(default_factory=dict)  # files passed over, by name

    @property
    def lost(self) -> list[Problem]:
        """The pictures that are not in the data set, and should be; copies are no loss."""
        return [p for p in self.problems if p.kind in LOSSES and not p.item.endswith("/")]

    @property
    def left_out(self) -> float:
        """Their share, of those that are in the data set or should be."""
        return len(self.lost) / max(1, len(self.lost) + self.count)

    def told_losses(self) -> str:
        """What was left out, why, and what helps: the message where it is too much."""
        kinds = Counter(problem.kind for problem in self.lost)
        parts = []
        for kind, count in kinds.most_common():
            lost = [p for p in self.lost if p.kind == kind]
            more = ", …" if count > NAMES_PRINTED else ""
            why = Counter(p.detail for p in lost).most_common(1)[0][0] if kind == "unlabelled" else ""
            named = ", ".join(p.item for p in lost[:NAMES_PRINTED])
            parts.append(f"{count} {kind} ({named}{more}{f'; {why}' if why else ''}): {LOSSES[kind]}")
        whole = len(self.lost) + self.count
        return (
            f"{len(self.lost)} of {whole} pictures would be left out ({100 * self.left_out:.0f}%): {'; '.join(parts)}. "
            "To go on without them: --max-left-out 1"
        )

    def warn_about_shapes(self, shapes: list[tuple[int, int]]) -> None:
        """Adds a warning where many pictures, (width, height), are too small for the data set or too long to crop."""
        small = sum(min(shape) < self.resolution / 2 for shape in shapes)
        long = sum(max(shape) > LONG * min(shape) for shape in shapes)
        if small > SOME * len(shapes):
            self.warnings.append(
                f"smaller than half of {self.resolution} pixels, so they are blurred: {small} pictures"
            )
        if long > SOME * len(shapes):
            self.warnings.append(f"more than {LONG} times as long as wide: {long} pictures; see --fit")

    def warn_about_balance(self) -> None:
        """Adds a warning for every attribute that a model will hardly learn to follow."""
        for attribute in self.attributes:
            size = len(attribute.categories)
            rare = [category for category, count in attribute.counted.items() if count < RARE]
            if size == 1:
                self.warnings.append(f"{attribute.name}: only one category, so it controls nothing")
            elif size > max(2, self.count // 2):
                self.warnings.append(f"{attribute.name}: {size} categories for {self.count} images; is it a label?")
            elif rare:
                more = f" and {len(rare) - 8} more" if len(rare) > 8 else ""
                self.warnings.append(f"{attribute.name}: fewer than {RARE} images of {', '.join(rare[:8])}{more}")

    def write(self, file: Path) -> None:
        """Writes everything as JSON."""
        kinds = Counter(problem.kind for problem in self.problems)
        document = {
            "name": self.name,
            "resolution": self.resolution,
            "channels": self.channels,
            "count": self.count,
            "digest": self.digest,
            "attributes": {attribute.name: attribute.counted for attribute in self.attributes},
            "notes": list(self.notes),
            "passed_over": dict(self.litter),
            "problem_counts": {kind: kinds[kind] for kind in KINDS if kinds[kind]},
            "problems": [vars(problem) for problem in self.problems],
            "warnings": self.warnings,
        }
        file.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")

    def print(self, console: Console, sheet: Path) -> None:
        """Prints the totals, the categories, the problems (the first few names of each kind) and where a sheet is."""
        alpha = ", with alpha" if self.channels == 4 else ""
        size = f"{self.resolution} x {self.resolution} pixels{alpha}"
        console.print(f"{escape(self.name)}: {self.count} images of {size}")
        for attribute in self.attributes:
            pairs = list(attribute.counted.items())
            shown = ", ".join(f"{category} {count}" for category, count in pairs[:20])
            more = f", and {len(pairs) - 20} more" if len(pairs) > 20 else ""
            console.print(f"  {escape(attribute.name)} ({len(pairs)}): {escape(shown)}{more}")
        for note in self.notes:
            console.print(f"  {escape(note)}", soft_wrap=True)
        if self.litter:
            names = ", ".join(f"{name} {count}" for name, count in sorted(self.litter.items()))
            console.print(f"  passed over, as left behind by systems or hidden: {escape(names)}", soft_wrap=True)
        if self.problems:
            console.print(self._table())
        for warning in self.warnings:
            console.print(f"[yellow]warning:[/] {escape(warning)}")
        console.print(f"contact sheet: {escape(str(sheet))}", soft_wrap=True)

    def _table(self) -> Table:
        table = Table("problem", "count", "what happens", "for example")
        kinds = Counter(problem.kind for problem in self.problems)
        for kind in (kind for kind in KINDS if kinds[kind]):
            examples = [p for p in self.problems if p.kind == kind][:NAMES_PRINTED]
            lines = [f"{p.item}: {p.detail}" if p.detail else p.item for p in examples]
            table.add_row(kind, str(kinds[kind]), KINDS[kind], escape("\n".join(lines)))
        return table
