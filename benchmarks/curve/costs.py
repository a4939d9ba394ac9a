"""From CPU time to capacity: what a call and an image cost each part, and what a core of it carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """CPU of one part: so many milliseconds a call, and so many an image."""

    call_ms: float
    image_ms: float

    def images_per_second(self, count: int) -> float:
        """Images a second that one core carries in calls of `count` images."""
        return 1000 * count / (self.call_ms + count * self.image_ms)


def fit(calls: Mapping[int, float]) -> Cost:
    """Of milliseconds a call by images a call: least squares of relative errors, neither cost below 0."""
    counts = np.array(list(calls), float)
    times = np.array(list(calls.values()))
    weighted = np.stack([np.ones_like(counts), counts], axis=1) / times[:, None]
    call, image = np.linalg.lstsq(weighted, np.ones_like(times), rcond=None)[0]
    if call < 0:
        call, image = 0.0, 1 / float(np.mean(counts / times))
    if image < 0:
        call, image = 1 / float(np.mean(1 / times)), 0.0
    return Cost(float(call), float(image))


def part_of(name: str) -> str:
    """ "worker 2" is a worker."""
    return name.partition(" ")[0]


def cpu_a_call(row: Row) -> dict[str, float]:
    """CPU milliseconds a call of each part, all workers together."""
    costs: dict[str, float] = {}
    for name, value in row["cpu_ms"].items():
        costs[part_of(name)] = costs.get(part_of(name), 0.0) + value * row["count"]
    return costs


def fit_parts(rows: Sequence[Row]) -> dict[str, Cost]:
    """The cost of each part over rows with different images a call, the busiest load of each."""
    busiest: dict[int, Row] = {}
    for row in rows:
        if row["count"] not in busiest or row["images_per_second"] > busiest[row["count"]]["images_per_second"]:
            busiest[row["count"]] = row
    parts = cpu_a_call(next(iter(busiest.values())))
    return {part: fit({count: cpu_a_call(row)[part] for count, row in busiest.items()}) for part in parts}
