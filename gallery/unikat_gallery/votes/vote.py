"""One answer of one person to one pair."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ARTIST: Final = "the artist"


class Question(StrEnum):
    """What is asked of a pair."""

    LIKE = "like"  # which do you like?
    ARTIST = "artist"  # which is by the artist?


class Purpose(StrEnum):
    """Why a pair is shown."""

    PAIR = "pair"
    REPEAT = "repeat"  # of an earlier pair of the same voter, the sides drawn anew
    CONTROL = "control"  # one side is the other one in pieces: there is a right answer


class Kind(StrEnum):
    """What one side of a pair shows."""

    DRAWING = "drawing"
    PICTURE = "picture"  # of the artist
    PIECES = "pieces"  # a drawing or picture whose parts are shuffled


@dataclass(frozen=True)
class Side:
    """What was shown on one side."""

    kind: Kind
    work: str  # digest of the artwork, or of the picture's file
    model: str = ""  # "name@version"; "" for what is not drawn
    truncation: float = 0.0
    digest: str = ""  # of the model
    recipe: str = ""  # the query of a drawing's link; the name of a picture's file

    @property
    def entry(self) -> str:
        """What is ranked: the model's version and truncation, "emoji@2, truncation 0.7", or the artist."""
        return f"{self.model}, truncation {self.truncation:g}" if self.kind is Kind.DRAWING else ARTIST


@dataclass(frozen=True)
class Vote:
    """An answer. `pair` is the same of a pair and of its repetition."""

    voter: str
    question: Question
    purpose: Purpose
    pair: str
    chosen: Side
    other: Side
    chose_left: bool

    @property
    def is_passed(self) -> bool:
        """Whether a control was answered as who looks at it does."""
        return self.other.kind is Kind.PIECES
