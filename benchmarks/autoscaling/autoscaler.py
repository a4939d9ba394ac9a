"""How many workers there should be: what the HorizontalPodAutoscaler decides that KEDA makes of a ScaledObject.

The rules are those of https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

SYNC_S: Final = 15.0  # seconds between decisions: --horizontal-pod-autoscaler-sync-period
TOLERANCE: Final = 0.1  # --horizontal-pod-autoscaler-tolerance


@dataclass(frozen=True)
class Trigger:
    """A query, and how much of it is one worker's."""

    name: str
    query: str
    threshold: float

    def wanted(self, value: float, workers: int) -> int:
        """Workers for a value of the query, where there are `workers`."""
        if abs(value / (self.threshold * workers) - 1) <= TOLERANCE:
            return workers
        return math.ceil(value / self.threshold)


@dataclass(frozen=True)
class Policy:
    """By how much the number may change in `seconds`: by so many workers, or by so many percent."""

    value: int
    seconds: float
    is_percent: bool

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Policy:
        return cls(node["value"], node["periodSeconds"], node["type"] == "Percent")

    def change(self, workers: int) -> int:
        return math.ceil(workers * self.value / 100) if self.is_percent else self.value


@dataclass(frozen=True)
class Direction:
    """Of scaling up or down: what was decided in the last `window` seconds holds it back, then the policies."""

    window: float
    policies: tuple[Policy, ...]

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Direction:
        return cls(node["stabilizationWindowSeconds"], tuple(map(Policy.of, node["policies"])))


@dataclass(frozen=True)
class ScaledObject:
    """What a file says."""

    least: int
    most: int
    up: Direction
    down: Direction
    triggers: tuple[Trigger, ...]

    @classmethod
    def read(cls, path: Path) -> ScaledObject:
        """Raises OSError and KeyError."""
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        triggers = (
            Trigger(each["name"], each["metadata"]["query"], float(each["metadata"]["threshold"]))
            for each in spec["triggers"]
        )
        return cls(
            spec["minReplicaCount"], spec["maxReplicaCount"], Direction.of(behavior["scaleUp"]),
            Direction.of(behavior["scaleDown"]), tuple(triggers),
        )  # fmt: skip


class Autoscaler:
    """Asked every SYNC_S seconds."""

    def __init__(self, scaled: ScaledObject) -> None:
        self._scaled = scaled
        self._wanted: list[tuple[float, int]] = []  # when, and how many
        self._changes: list[tuple[float, int]] = []  # when, and by how many

    def decide(self, now: float, workers: int, values: Sequence[float | None]) -> int:
        """How many workers there should be from `now` (s) on; `values` are those of the triggers, None: no result."""
        scaled = self._scaled
        known = [
            trigger.wanted(value, workers)
            for trigger, value in zip(scaled.triggers, values, strict=True) if value is not None
        ]  # fmt: skip
        wanted = max(known, default=workers)
        if len(known) < len(values):  # what is not known may be more
            wanted = max(wanted, workers)
        wanted = min(max(wanted, scaled.least), scaled.most)
        self._wanted.append((now, wanted))
        steady = self._stabilized(now, workers)
        allowed = self._limited(now, workers, steady)
        if allowed != workers:
            self._changes.append((now, allowed - workers))
        return allowed

    def _stabilized(self, now: float, workers: int) -> int:
        """No more than was wanted at all times of the one window, no fewer than at any time of the other."""
        up = min(wanted for at, wanted in self._wanted if at >= now - self._scaled.up.window)
        down = max(wanted for at, wanted in self._wanted if at >= now - self._scaled.down.window)
        return min(max(workers, up), down)

    def _limited(self, now: float, workers: int, wanted: int) -> int:
        """What the policies let through: the one that lets through most is heard."""
        if wanted == workers:
            return workers
        is_up = wanted > workers
        steps = []
        for policy in (self._scaled.up if is_up else self._scaled.down).policies:
            since = [change for at, change in self._changes if at > now - policy.seconds and (change > 0) == is_up]
            steps.append(max(0, policy.change(workers - sum(since)) - abs(sum(since))))
        step = min(abs(wanted - workers), max(steps))
        return workers + step if is_up else workers - step
