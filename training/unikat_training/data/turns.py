"""Pictures that are drawn without end: of each kind in turn, each from the seed, its kind and its number alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """What one picture follows from; `size` is its height and width (pixels)."""

    kind: str
    index: int  # among its kind
    seed: int
    size: int

    @property
    def name(self) -> str:
        """Of the picture in the data set."""
        return f"{self.kind}/{self.index:06d}"

    def random(self) -> random.Random:
        """A generator of its own, the same in every process."""
        return random.Random(f"{self.seed}/{self.kind}/{self.index}")


def in_turn(kinds: Sequence[str], count: int, seed: int, size: int) -> Iterator[Turn]:
    """`count` of them."""
    return (Turn(kinds[index % len(kinds)], index // len(kinds), seed, size) for index in range(count))
