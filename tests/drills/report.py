"""What a drill did to a system and how that took it, as the table of docs/guarantees.md.

`python -m tests.drills.report LOG...` makes one table of what several runs of the drill (`pytest -s`) printed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.drills.checker import Broken, Violation
from tests.drills.history import Accepted, Asked, Ended, Event, Image


@dataclass(frozen=True)
class Struck:
    """A fault: its kind, the calls in flight when it struck, and the seconds until each of them had gone on."""

    kind: str
    in_flight: int
    recovery_s: float

    def __str__(self) -> str:
        """A line of the drill's log."""
        return f"{self.kind}: {self.in_flight} in flight, {self.recovery_s:.2f} s"

    @classmethod
    def read(cls, log: str) -> list[Struck]:
        """All faults in a log, as far as its histories were checked."""
        log = log[: log.rindex(" calls and batches (")]
        found = re.findall(r"^(.+): (\d+) in flight, ([\d.]+) s$", log, re.MULTILINE)
        return [cls(kind, int(flying), float(seconds)) for kind, flying, seconds in found]


@dataclass
class Report:
    """All faults of a drill, and what clients saw."""

    struck: list[Struck] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    @property
    def worst_s(self) -> float:
        """The slowest recovery."""
        return max((each.recovery_s for each in self.struck), default=0.0)

    def by_kind(self) -> dict[str, list[Struck]]:
        """The faults of each kind."""
        found: dict[str, list[Struck]] = defaultdict(list)
        for each in self.struck:
            found[each.kind].append(each)
        return found

    def count(self, events: Sequence[Event]) -> None:
        """Add what a history says."""
        for event in events:
            if isinstance(event.what, Ended):
                self.seen[event.what.how] += 1
            elif isinstance(event.what, Asked | Accepted | Image):
                self.seen[type(event.what).__name__] += 1

    def table(self) -> str:
        """Markdown, with what clients saw."""
        return f"{self.faults()}\n\n{self.summary()}"

    def faults(self) -> str:
        """A line for every kind of fault."""
        lines = [
            "| fault | times | calls in flight: fewest, median | recovery: median, worst |",
            "| --- | ---: | ---: | ---: |",
        ]
        for kind, faults in sorted(self.by_kind().items()):
            flying, seconds = [each.in_flight for each in faults], [each.recovery_s for each in faults]
            lines.append(
                f"| {kind} | {len(faults)} | {min(flying)}, {median(flying):.0f} "
                f"| {median(seconds):.1f} s, {max(seconds):.1f} s |"
            )
        lines.append(f"| all | {len(self.struck)} | | {self.worst_s:.1f} s |")
        return "\n".join(lines)

    def summary(self) -> str:
        """What clients saw, and what was wrong with it."""
        broken = Counter(violation.broken for violation in self.violations)
        found = ", ".join(f"{broken[kind]} {kind}" for kind in (Broken.LOST, Broken.DOUBLED))
        others = sum(broken.values()) - broken[Broken.LOST] - broken[Broken.DOUBLED]
        ends = ", ".join(f"{self.seen[how]} {how}" for how in ("finished", "cancelled", "refused", "cut", "failed"))
        return (
            f"{self.seen['Asked']} calls and batches ({ends}), {self.seen['Image']} images received: "
            f"{found}, {others} other violations."
        )


if __name__ == "__main__":
    logs = [Path(name).read_text() for name in sys.argv[1:]]
    print(Report([struck for log in logs for struck in Struck.read(log)]).faults())
    for log in logs:
        print(re.findall(r"^\d+ calls and batches .*$", log, re.MULTILINE)[-1])
