"""What votes say, as one JSON document: `unikat votes report`.

Ranked are versions and truncations of models, and the artist's pictures; never single works, whose rank would turn on
the few votes that each of them gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np

from unikat_gallery.votes.intervals import LEAST_VOTERS, LEVEL, Share, share_of
from unikat_gallery.votes.ranking import Choice, Ranking, connected, rank
from unikat_gallery.votes.screening import LEAST_CONTROLS, LEAST_PASSED, Screened, screen
from unikat_gallery.votes.vote import ARTIST, Kind, Purpose, Question, Side, Vote

FORMAT: Final = 1

Json = dict[str, Any]


def report_of(votes: Sequence[Vote]) -> Json:
    """The document. Raises ValueError where no vote counts."""
    screened = screen(votes)
    if not screened.votes:
        raise ValueError(
            f"no vote counts: of {screened.too_few + screened.failed} voters {screened.too_few} answered fewer than "
            f"{LEAST_CONTROLS} controls, {screened.failed} passed fewer than {LEAST_PASSED:.0%} of them"
        )
    return {
        "format": FORMAT,
        "level": LEVEL,
        "votes": {"all": len(votes), "counted": len(screened.votes)},
        "voters": _voters(screened),
        "controls": {"answered": screened.controls, "passed": screened.passed},
        "like": _liked(screened.votes),
        "artist": _taken(screened.votes),
        "left": _share(screened.votes, lambda vote: vote.chose_left),
    }


def _voters(screened: Screened) -> Json:
    return {
        "all": screened.voters + screened.too_few + screened.failed,
        "counted": screened.voters,
        "too_few_controls": screened.too_few,
        "failed_controls": screened.failed,
        "least_controls": LEAST_CONTROLS,
        "least_passed": LEAST_PASSED,
        "least_for_intervals": LEAST_VOTERS,
    }


def _liked(votes: Sequence[Vote]) -> Json:
    asked = [vote for vote in votes if vote.question is Question.LIKE]
    pairs = [vote for vote in asked if vote.purpose is Purpose.PAIR and vote.chosen.entry != vote.other.entry]
    names = {side.entry: side for vote in pairs for side in (vote.chosen, vote.other)}
    entries, voters = sorted(names), sorted({vote.voter for vote in pairs})
    choices = [
        Choice(voters.index(vote.voter), entries.index(vote.chosen.entry), entries.index(vote.other.entry))
        for vote in pairs
    ]
    groups = [
        _group([entries[number] for number in group], choices, entries, names)
        for group in connected(len(entries), choices)
    ]
    return {"votes": len(pairs), "voters": len(voters), "groups": groups, "agreement": agreement(asked)}


def _group(own: list[str], choices: Sequence[Choice], entries: list[str], names: dict[str, Side]) -> Json:
    """Entries that are compared with one another, the strongest first."""
    number = {entries.index(name): place for place, name in enumerate(own)}
    kept = [Choice(c.voter, number[c.winner], number[c.loser]) for c in choices if c.winner in number]
    ranking = rank(len(own), kept)
    order = sorted(range(len(own)), key=lambda place: (-ranking.strengths[place], own[place]))
    return {
        "entries": [
            {
                **_about(names[own[place]]),
                "votes": sum(place in (choice.winner, choice.loser) for choice in kept),
                "strength": float(ranking.strengths[place]),
                "interval": ranking.interval(place),
                "preferred": _probability(float(ranking.strengths[place])),
                "preferred_interval": _probabilities(ranking.interval(place)),
            }
            for place in order
        ],
        "pairs": [_between(ranking, own, pair) for pair in combinations(order, 2)],
    }


def _between(ranking: Ranking, names: list[str], pair: tuple[int, int]) -> Json:
    apart = float(ranking.strengths[pair[0]] - ranking.strengths[pair[1]])
    interval = ranking.interval_between(*pair)
    return {
        "first": names[pair[0]],
        "second": names[pair[1]],
        "preferred": _probability(apart),
        "preferred_interval": _probabilities(interval),
        "told_apart": interval is not None and not interval[0] <= 0 <= interval[1],
    }


def _taken(votes: Sequence[Vote]) -> Json:
    """How often a drawing was taken for the artist's, beside a picture that is."""
    asked = [vote for vote in votes if vote.question is Question.ARTIST]
    pairs = [vote for vote in asked if vote.purpose is Purpose.PAIR]
    drawn = {side.entry: side for vote in pairs for side in (vote.chosen, vote.other) if side.kind is Kind.DRAWING}
    entries = [
        {
            **_about(drawn[name]),
            "taken": _share((v for v in pairs if name in (v.chosen.entry, v.other.entry)), _is_taken),
        }
        for name in sorted(drawn)
    ]
    return {"taken": _share(pairs, _is_taken), "entries": entries, "agreement": agreement(asked)}


def _is_taken(vote: Vote) -> bool:
    return vote.chosen.kind is Kind.DRAWING


def agreement(votes: Sequence[Vote]) -> Json | None:
    """The share of repeated pairs that were answered as the first time; None where nothing was repeated."""
    first = {(vote.voter, vote.pair): vote.chosen.work for vote in votes if vote.purpose is Purpose.PAIR}
    repeated = [vote for vote in votes if vote.purpose is Purpose.REPEAT and (vote.voter, vote.pair) in first]
    return _share(repeated, lambda vote: first[vote.voter, vote.pair] == vote.chosen.work)


def _share(votes: Iterable[Vote], is_yes: Callable[[Vote], bool]) -> Json | None:
    counts: dict[str, list[int]] = {}
    for vote in votes:
        count = counts.setdefault(vote.voter, [0, 0])
        count[0] += is_yes(vote)
        count[1] += 1
    numbers = np.array(list(counts.values()), dtype=np.int64).reshape(-1, 2)
    found = share_of(numbers[:, 0], numbers[:, 1])
    return None if found is None else _told(found)


def _told(share: Share) -> Json:
    return {
        "value": share.value,
        "interval": share.interval,
        "answers": share.answers,
        "voters": share.voters,
    }


def _about(side: Side) -> Json:
    if side.kind is not Kind.DRAWING:
        return {"entry": ARTIST}
    return {"entry": side.entry, "model": side.model, "digest": side.digest, "truncation": side.truncation}


def _probability(strength: float) -> float:
    return 1 / (1 + math.exp(-strength))


def _probabilities(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (_probability(interval[0]), _probability(interval[1]))
