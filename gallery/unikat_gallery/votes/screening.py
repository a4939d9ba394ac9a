"""Whose votes count: voters who look at what they are shown, which controls tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from unikat_gallery.votes.vote import Purpose, Vote

LEAST_CONTROLS: Final = 3  # that a voter has answered; who clicks at random passes three with 1 in 8
LEAST_PASSED: Final = 0.8  # share of a voter's controls


@dataclass(frozen=True)
class Screened:
    """Votes that count, and why others do not."""

    votes: list[Vote]  # of the voters who count, controls left out
    voters: int  # who count
    too_few: int  # voters with fewer controls than `LEAST_CONTROLS`
    failed: int  # voters who passed fewer than `LEAST_PASSED`
    controls: int  # answered by everybody
    passed: int


def screen(votes: Sequence[Vote]) -> Screened:
    """Whether a voter counts depends on controls alone, never on what is said of drawings."""
    controls: dict[str, list[bool]] = {vote.voter: [] for vote in votes}
    for vote in votes:
        if vote.purpose is Purpose.CONTROL:
            controls[vote.voter].append(vote.is_passed)
    enough = {voter: passed for voter, passed in controls.items() if len(passed) >= LEAST_CONTROLS}
    counted = {voter for voter, passed in enough.items() if sum(passed) >= LEAST_PASSED * len(passed)}
    return Screened(
        votes=[vote for vote in votes if vote.voter in counted and vote.purpose is not Purpose.CONTROL],
        voters=len(counted),
        too_few=len(controls) - len(enough),
        failed=len(enough) - len(counted),
        controls=sum(map(len, controls.values())),
        passed=sum(map(sum, controls.values())),
    )
