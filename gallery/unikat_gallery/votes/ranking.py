"""Bradley–Terry: how much each entry is preferred, from who was chosen over whom.

Entry i is chosen over entry j with probability 1 / (1 + exp(s_j - s_i)); s are the strengths, of mean 0 (Bradley &
Terry, "Rank Analysis of Incomplete Block Designs", 1952).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from choix import ilsr_pairwise_dense

from unikat_gallery.votes.intervals import LEAST_VOTERS, jackknife_variance, quantile

# Votes each way between every two entries that are added to those of people: an entry that won every vote has a finite
# strength.
ADDED: Final = 0.1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """Entry `winner` was chosen over entry `loser` by voter `voter`; all by their numbers."""

    voter: int
    winner: int
    loser: int


@dataclass(frozen=True)
class Ranking:
    """Of n entries."""

    strengths: Floats  # (n,), mean 0
    left_out: Floats  # (G, n): the strengths without each voter, the others' mean 0

    def interval(self, entry: int) -> tuple[float, float] | None:
        """Of a strength; None with too few voters."""
        return self._around(float(self.strengths[entry]), self.left_out[:, entry])

    def interval_between(self, first: int, second: int) -> tuple[float, float] | None:
        """Of how much stronger the first is than the second."""
        apart = float(self.strengths[first] - self.strengths[second])
        return self._around(apart, self.left_out[:, first] - self.left_out[:, second])

    def _around(self, value: float, left_out: Floats) -> tuple[float, float] | None:
        if len(left_out) < LEAST_VOTERS:
            return None
        half = quantile(len(left_out)) * float(np.sqrt(jackknife_variance(left_out, np.array(value))))
        return value - half, value + half


def rank(entries: int, choices: Sequence[Choice]) -> Ranking:
    """Strengths of so many entries, by maximum likelihood with the votes `ADDED` (choix), and without each voter.

    A voter is left out by one Newton step from the fit: the exact gradient and Hessian of the others' choices. Raises
    ValueError for no choices, and for entries that are not all compared with one another.
    """
    if len(connected(entries, choices)) != 1:
        raise ValueError("choices: must compare all entries with one another")
    won = won_by_voter(entries, choices)
    added = ADDED * (1 - np.identity(entries))
    fit = ilsr_pairwise_dense(won.sum(axis=0) + added, alpha=0, max_iter=1000)
    strengths = np.asarray(fit - fit.mean(), dtype=np.float64)
    likely = 1 / (1 + np.exp(strengths[None] - strengths[:, None]))  # (n, n): that the row is chosen over the column
    both = won + won.swapaxes(1, 2)  # (G, n, n): choices between two entries
    surplus = (won - both * likely).sum(axis=2)  # (G, n): the gradient of each voter's log likelihood
    others = _curvature((both.sum(axis=0) - both + 2 * added) * likely * likely.T)
    # At the fit the gradients of all voters and of the added votes sum to 0: that of the others is minus a voter's own.
    # A strength more for all entries changes nothing: with 1 added throughout, the Hessian keeps their mean at 0.
    steps = np.linalg.solve(others + 1, -surplus[:, :, None])[:, :, 0]
    return Ranking(strengths, strengths + steps)


def won_by_voter(entries: int, choices: Sequence[Choice]) -> Floats:
    """(G, n, n): how often each voter chose the row's entry over the column's."""
    voters, winners, losers = (
        np.array([getattr(each, name) for each in choices], dtype=np.int64) for name in ("voter", "winner", "loser")
    )
    present, place = np.unique(voters, return_inverse=True)
    won = np.zeros((len(present), entries, entries))
    np.add.at(won, (place, winners, losers), 1.0)
    return won


def _curvature(weights: Floats) -> Floats:
    """Hessians (G, n, n) of minus the log likelihood, from the weights (G, n, n) of the pairs."""
    hessians: Floats = weights.sum(axis=2)[:, :, None] * np.identity(weights.shape[1]) - weights
    return hessians


def connected(entries: int, choices: Sequence[Choice]) -> list[list[int]]:
    """Entries that are compared with one another, directly or by others: groups, the largest first."""
    group = list(range(entries))
    for choice in choices:
        one, other = group[choice.winner], group[choice.loser]
        group = [one if each == other else each for each in group]
    found = [[entry for entry in range(entries) if group[entry] == name] for name in dict.fromkeys(group)]
    return sorted(found, key=len, reverse=True)
