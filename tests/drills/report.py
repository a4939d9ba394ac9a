"""What a drill did to a system and how that took it, as the table of docs/guarantees.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.drills.history import Accepted, Asked, Broken, Ended, Event, Image, Violation


@dataclass(frozen=True)
class Struck:
    """A fault: its kind, the calls in flight when it struck, and the seconds until each of them had gone on."""

    kind: str
    in_flight: int
    recovery_s: float


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
        """Markdown."""
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
        broken = Counter(violation.broken for violation in self.violations)
        summary = ", ".join(f"{broken[kind]} {kind}" for kind in (Broken.LOST, Broken.DOUBLED))
        others = sum(broken.values()) - broken[Broken.LOST] - broken[Broken.DOUBLED]
        ends = ", ".join(f"{self.seen[how]} {how}" for how in ("finished", "cancelled", "refused", "cut", "failed"))
        return "\n".join(lines) + (
            f"\n\n{self.seen['Asked']} calls and batches ({ends}), {self.seen['Image']} images received: "
            f"{summary}, {others} other violations."
        )
