"""Whether something grows: the Theil–Sen slope of its readings, behind a warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

WARM_UP: Final = 1 / 3  # of the time
MOST: Final = 0.05  # of the median: what may be added in the rest of the time
_BINS: Final = 120  # medians of so many spans of time: the slope takes all pairs


@dataclass(frozen=True)
class Trend:
    """Of one kind of reading behind the warm-up. `growth` is the slope times the time it was taken over."""

    median: float
    growth: float
    slack: float

    @property
    def grows(self) -> bool:
        """Whether more was added than is allowed."""
        return self.growth > max(MOST * self.median, self.slack)


def trend(moments: Sequence[float], values: Sequence[float], slack: float) -> Trend:
    """The trend of values at moments (s). `slack`: what may be added, however small the median is."""
    times, levels = np.asarray(moments, float), np.asarray(values, float)
    warm = times >= times[0] + WARM_UP * (times[-1] - times[0])
    times, levels = times[warm], levels[warm]
    parts = [part for part in np.array_split(np.arange(len(times)), min(_BINS, len(times))) if len(part)]
    x = np.array([np.median(times[part]) for part in parts])
    y = np.array([np.median(levels[part]) for part in parts])
    first, second = np.triu_indices(len(x), 1)
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first])))
    return Trend(float(np.median(levels)), slope * float(times[-1] - times[0]), slack)
