"""People who vote, simulated: each has a taste that is known, and chooses by it as Bradley and Terry say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unikat_gallery.votes.vote import Kind, Purpose, Question, Side, Vote

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class People:
    """A number of voters, and what they are shown.

    Person i likes entry j with strength `strengths[j]`, and a deviation of their own of standard deviation `spread`.
    Each takes the drawings of entry j for the artist's with the log-odds `taken[j]`, deviating likewise, and fails a
    control with `careless`. A share `at_random` of them presses any key.
    """

    strengths: Floats  # (n,)
    taken: Floats  # (n,)
    voters: int = 10
    pairs: int = 60  # that each answers, of each question
    spread: float = 0.0
    careless: float = 0.02
    at_random: float = 0.0
    name: str = "emoji"  # of the model whose versions are ranked

    def entries(self) -> list[Side]:
        """What is ranked."""
        return [
            Side(Kind.DRAWING, "", f"{self.name}@{1 + i // 2}", (0.7, 1.0)[i % 2]) for i in range(len(self.strengths))
        ]

    def votes(self, seed: int) -> list[Vote]:
        """Everybody's, in order; the same seed gives the same."""
        random = np.random.default_rng(seed)
        return [vote for voter in range(self.voters) for vote in self._of(voter, random)]

    def _of(self, voter: int, random: np.random.Generator) -> list[Vote]:
        any_key = voter < self.at_random * self.voters
        own = self.strengths + random.normal(0, self.spread, len(self.strengths))
        taken = self.taken + random.normal(0, self.spread)
        found: list[Vote] = []
        for number in range(self.pairs):
            first, second = random.choice(len(own), 2, replace=False)
            odds = 0.0 if any_key else float(own[first] - own[second])
            pair = (self._drawing(first, random), self._drawing(second, random))
            found.append(_vote(voter, Question.LIKE, Purpose.PAIR, f"l{number}", pair, odds, random))
            odds = 0.0 if any_key else float(taken[first])
            pair = (self._drawing(first, random), Side(Kind.PICTURE, f"p{number}"))
            found.append(_vote(voter, Question.ARTIST, Purpose.PAIR, f"a{number}", pair, odds, random))
            if number % 6 == 0:
                whole, pieces = Side(Kind.PICTURE, "p"), Side(Kind.PIECES, "p")
                odds = 0.0 if any_key else float(np.log(1 / self.careless - 1))
                found.append(
                    _vote(voter, Question.ARTIST, Purpose.CONTROL, f"c{number}", (whole, pieces), odds, random)
                )
        return found

    def _drawing(self, entry: int, random: np.random.Generator) -> Side:
        like = self.entries()[entry]
        return Side(like.kind, f"{random.integers(2**60):x}", like.model, like.truncation, f"sha256:{like.model}")


def _vote(
    voter: int,
    question: Question,
    purpose: Purpose,
    pair: str,
    sides: tuple[Side, Side],
    odds: float,
    random: np.random.Generator,
) -> Vote:
    """The first side is chosen with the log-odds `odds`."""
    is_first = bool(random.random() < 1 / (1 + np.exp(-odds)))
    chosen, other = sides if is_first else sides[::-1]
    return Vote(f"voter {voter}", question, purpose, pair, chosen, other, bool(random.random() < 0.5))


def repeated(votes: list[Vote], agreement: float, seed: int) -> list[Vote]:
    """Every fifth ordinary vote once more, answered alike with the probability `agreement`."""
    random = np.random.default_rng(seed)
    found = []
    for vote in [each for each in votes if each.purpose is Purpose.PAIR][::5]:
        chosen, other = (vote.chosen, vote.other) if random.random() < agreement else (vote.other, vote.chosen)
        found.append(Vote(vote.voter, vote.question, Purpose.REPEAT, vote.pair, chosen, other, vote.chose_left))
    return found
