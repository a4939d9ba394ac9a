"""Intervals for what people say: the answers of one person are alike, so people are what is counted.

Every interval is a jackknife over voters: how much the figure changes when one voter's answers are left out says how
much it would change with other voters. With few voters the normal distribution is too narrow; Student's t with one
degree of freedom less than there are voters is not (Cameron & Miller, "A Practitioner's Guide to Cluster-Robust
Inference", 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

LEVEL: Final = 0.95
LEAST_VOTERS: Final = 3  # of fewer, no interval is told

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A share of answers, with its interval; None where there are too few voters for one."""

    value: float
    interval: tuple[float, float] | None
    answers: int
    voters: int


def quantile(voters: int) -> float:
    """Of Student's t, for intervals of `LEVEL` from so many voters."""
    return float(stdtrit(voters - 1, (1 + LEVEL) / 2))


def jackknife_variance(left_out: Floats, whole: Floats) -> Floats:
    """(...,) from figures without each voter, (G, ...), and of all, (...,)."""
    voters = len(left_out)
    variance: Floats = (voters - 1) / voters * ((left_out - whole) ** 2).sum(axis=0)
    return variance


def share_of(yes: npt.NDArray[np.int64], answers: npt.NDArray[np.int64]) -> Share | None:
    """Of voters' answers (G,) so many were yes (G,): Wilson's interval. None where nobody answered.

    The interval is Wilson's for as many independent answers as would be as uncertain as these (their design effect,
    at least 1), with Student's t in place of the normal quantile.
    """
    asked = answers > 0
    yes, answers = yes[asked], answers[asked]
    voters, total = len(answers), int(answers.sum())
    if not total:
        return None
    share = float(yes.sum() / total)
    if voters < LEAST_VOTERS:
        return Share(share, None, total, voters)
    left_out = (yes.sum() - yes) / (total - answers)
    variance = float(jackknife_variance(left_out, np.array(share)))
    plain = share * (1 - share) / total
    effect = max(1.0, variance / plain) if plain > 0 else 1.0
    return Share(share, wilson(share, total / effect, quantile(voters)), total, voters)


def wilson(share: float, answers: float, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share of so many independent answers (Wilson, 1927)."""
    scale = 1 + z * z / answers
    middle = (share + z * z / (2 * answers)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / answers + z * z / (4 * answers * answers))
    return max(0.0, middle - half), min(1.0, middle + half)
