"""The pairs that are shown now, why a voter is shown one, and how many there may be."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from unikat_gallery.limits import Limits
from unikat_gallery.votes.pictures import Shown
from unikat_gallery.votes.vote import Purpose, Question, Vote

BLOCK: Final = 6  # pairs, of which one is a control and one a repetition
MOST_OPEN: Final = 2  # pairs that a voter sees or is about to see
MOST_PAIRS: Final = 1000  # that are shown now, to all


@dataclass(frozen=True)
class Pair:
    """A pair that is shown to a voter, left and right."""

    visitor: str
    question: Question
    purpose: Purpose
    pair: str  # of a repetition, that of the first time
    sides: tuple[Shown, Shown]
    files: tuple[bytes, bytes]

    def vote(self, place: int) -> tuple[Vote, Shown, Shown]:
        """The answer that side 0 (left) or 1 is chosen; what is chosen, and the other one."""
        chosen, other = self.sides[place], self.sides[1 - place]
        vote = Vote(self.visitor, self.question, self.purpose, self.pair, chosen.side, other.side, place == 0)
        return vote, chosen, other


@dataclass
class Ballot:
    """The pairs that are shown now, by tokens that cannot be guessed; the oldest go when there are too many."""

    limits: Limits
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    _open: OrderedDict[str, Pair] = field(default_factory=OrderedDict)

    def open(self, pair: Pair) -> str:
        """The token of a pair that is shown from now on."""
        own = [token for token, each in self._open.items() if each.visitor == pair.visitor]
        for token in own[: len(own) + 1 - MOST_OPEN]:
            del self._open[token]
        if len(self._open) >= MOST_PAIRS:
            self._open.popitem(last=False)
        token = secrets.token_hex(16)
        self._open[token] = pair
        return token

    def find(self, token: str, visitor: str) -> Pair | None:
        """A pair that is shown to this visitor."""
        pair = self._open.get(token)
        return pair if pair is not None and pair.visitor == visitor else None

    def close(self, token: str) -> None:
        """It is answered."""
        self._open.pop(token, None)

    def shown_to(self, visitor: str) -> list[Pair]:
        """Those of a visitor."""
        return [pair for pair in self._open.values() if pair.visitor == visitor]

    def purpose(self, visitor: str, number: int) -> Purpose:
        """Of a visitor's pair `number`: by lot in each block, and the same whenever it is asked for."""
        block, place = divmod(number, BLOCK)
        seed = hashlib.sha256(self.secret + f"{visitor} {block}".encode()).digest()
        control, repeat = random.Random(seed).sample(range(BLOCK), 2)
        return {control: Purpose.CONTROL, repeat: Purpose.REPEAT}.get(place, Purpose.PAIR)
