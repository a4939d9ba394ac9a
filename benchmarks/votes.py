"""`python -m benchmarks votes`: whether the intervals of `unikat votes report` hold what they promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import typer

from benchmarks.figures import ROOT, write
from tests.support.voters import People
from unikat_gallery.votes.intervals import LEVEL, quantile, share_of, wilson
from unikat_gallery.votes.ranking import Choice, rank
from unikat_gallery.votes.screening import screen
from unikat_gallery.votes.vote import Kind, Purpose, Question, Vote

Floats = npt.NDArray[np.float64]

_TASTE: Final = People(strengths=np.array([-0.6, -0.1, 0.2, 0.5]), taken=np.array([-1.0, -0.8, -0.5, -0.2]))
CASES: Final = {
    "10 people of one taste, 60 pairs each": _TASTE,
    "10 people, tastes differ (σ 0.5)": replace(_TASTE, spread=0.5),
    "10 people, tastes differ much (σ 1)": replace(_TASTE, spread=1.0),
    "10 people, σ 0.5, and 3 who press any key": replace(_TASTE, spread=0.5, voters=13, at_random=3 / 13),
    "5 people, σ 0.5": replace(_TASTE, spread=0.5, voters=5),
    "40 people, σ 0.5, 15 pairs each": replace(_TASTE, spread=0.5, voters=40, pairs=15),
}
# Nodes and weights of the normal distribution, for means over people.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def over_people(odds: Floats, spread: float) -> Floats:
    """Mean probability of log-odds (...,) that deviate between people by a normal distribution."""
    means: Floats = (1 / (1 + np.exp(-(odds[..., None] + spread * _NODES)))) @ _WEIGHTS
    return means


def true_strengths(people: People) -> Floats:
    """What infinitely many people's votes come to: the Bradley–Terry strengths of their mean probabilities, (n,)."""
    apart = people.strengths[:, None] - people.strengths[None]
    chosen = over_people(apart, people.spread * np.sqrt(2))
    np.fill_diagonal(chosen, 0)
    strengths = np.zeros(len(apart))
    for _ in range(10_000):  # Zermelo's iteration
        power = np.exp(strengths)
        strengths = np.log(chosen.sum(axis=1)) - np.log(
            ((1 - np.identity(len(power))) / (power[:, None] + power[None])).sum(axis=1)
        )
        strengths -= strengths.mean()
    return strengths


def choices_of(votes: Sequence[Vote], people: People, by_person: bool) -> list[Choice]:
    """The answers on what is liked; each as one of its own voter where they are not told apart."""
    names = [side.entry for side in people.entries()]
    asked = [vote for vote in votes if vote.question is Question.LIKE and vote.purpose is Purpose.PAIR]
    voters = sorted({vote.voter for vote in asked})
    return [
        Choice(voters.index(v.voter) if by_person else i, names.index(v.chosen.entry), names.index(v.other.entry))
        for i, v in enumerate(asked)
    ]


def covered(people: People, truth: Floats, seed: int, by_person: bool) -> tuple[Floats, bool, bool]:
    """Of one simulation: which of the true strengths (n,) lie in their intervals, whether the share taken for the
    artist's does, and whether the best entry is ranked first.
    """
    votes = screen(people.votes(seed)).votes
    ranking = rank(len(people.strengths), choices_of(votes, people, by_person))
    intervals = [ranking.interval(entry) for entry in range(len(truth))]
    inside = np.array([each is not None and each[0] <= t <= each[1] for each, t in zip(intervals, truth, strict=True)])
    first = int(ranking.strengths.argmax()) == int(truth.argmax())
    asked = [vote for vote in votes if vote.question is Question.ARTIST and vote.purpose is Purpose.PAIR]
    taken = [vote.chosen.kind is Kind.DRAWING for vote in asked]
    truth_taken = float(over_people(people.taken, people.spread).mean())
    if by_person:
        _, voter = np.unique([vote.voter for vote in asked], return_inverse=True)
        share = share_of(np.bincount(voter, weights=taken).astype(np.int64), np.bincount(voter))
        interval = share.interval if share else None
    else:
        interval = wilson(float(np.mean(taken)), len(taken), quantile(len(taken)))
    return inside, interval is not None and interval[0] <= truth_taken <= interval[1], first


def report(simulations: int) -> Iterator[str]:
    """The table, as Markdown."""
    yield f"{simulations:,} simulations a row; {LEVEL:.0%} is promised. In brackets: every answer taken as independent."
    yield ""
    yield "| voters | strengths in their intervals | share taken for the artist's in its interval | best entry first |"
    yield "| --- | ---: | ---: | ---: |"
    for name, people in CASES.items():
        columns, truth = [], true_strengths(people)
        for by_person in (True, False):
            found = [covered(people, truth, seed, by_person) for seed in range(simulations)]
            columns.append([float(np.mean([each[part] for each in found])) for part in range(3)])
        own, plain = columns
        yield f"| {name} | {own[0]:.1%} ({plain[0]:.1%}) | {own[1]:.1%} ({plain[1]:.1%}) | {own[2]:.0%} |"


def votes(
    simulations: Annotated[int, typer.Option(help="a row")] = 500,
    write_it: Annotated[bool, typer.Option("--write", help="into docs/judgement.md")] = False,
) -> None:
    """How often the truth lies in the intervals of `unikat votes report`, for simulated voters of a known taste."""
    lines = list(report(simulations))
    print("\n".join(lines))
    if write_it:
        write("votes", lines, ROOT / "docs" / "judgement.md")
