"""The canonical form of a recipe, by additions, multiplications, divisions and square roots alone (docs/sampling.md).

Whatever is asked for, a mix of mixes, a mutation of a mutation, a frame of a walk, is one mix of distinct base points,
so that the same latent has one form, and with it one digest.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

Place: TypeAlias = tuple[int, int]  # seed and index
Base: TypeAlias = Place | bytes  # bytes: the numbers of a vector, float32, least significant byte first
K = TypeVar("K", Base, str)

MAX_POINTS: Final = 64  # base points of a mix
MAX_WEIGHT: Final = 1e6
MAX_NUMBER: Final = 1e3  # of a vector
MAX_SHIFT: Final = 100.0  # standard deviations

_NEAR_ONE: Final = (
    2.0**-22
)  # float32 weights whose squares sum to 1 within it are left alone: 2**-23 is what rounding does
_LEAST: Final = 1e-12  # sum of squares below which weights have cancelled out
_HALVINGS: Final = 8  # of the arc between two mixes: what is left of it is straight enough


@dataclass(frozen=True)
class Mix:
    """A latent: the sum of weight times base point, then of strength times direction.

    In canonical form, as `mix_of` makes it: base points are distinct and sorted, places before vectors; weights are
    float32, none is 0, and their squares sum to 1; directions are distinct and sorted, and no strength is 0.
    """

    points: tuple[tuple[Base, float], ...]
    shifts: tuple[tuple[str, float], ...] = ()

    @property
    def place(self) -> Place | None:
        """Seed and index, where the latent is that of an image of a seed."""
        (base, weight), *more = self.points
        return base if not more and not self.shifts and weight == 1.0 and isinstance(base, tuple) else None

    @property
    def latent(self) -> Latent:
        """Seed and index where there are such, and else the mix."""
        return self.place or self

    @property
    def has_vectors(self) -> bool:
        """Whether a base point is given number by number."""
        return any(isinstance(base, bytes) for base, _ in self.points)


Latent: TypeAlias = Place | Mix  # a mix that is the latent of a place is written as that


def mix_of(points: Iterable[tuple[Base, float]], shifts: Iterable[tuple[str, float]] = ()) -> Mix:
    """The canonical form. Raises ValueError for weights that cancel out, and for more than MAX_POINTS base points."""
    merged = _merged(points)
    if len(merged) > MAX_POINTS:
        raise ValueError(f"at most {MAX_POINTS} base points, not {len(merged)}")
    total = _sum(weight * weight for _, weight in merged)
    if not total >= _LEAST:
        raise ValueError("its weights cancel out: one of them, at least, must be left when equal points are added")
    if abs(total - 1.0) > _NEAR_ONE or any(float32(weight) != weight for _, weight in merged):
        norm = math.sqrt(total)
        merged = [(base, float32(weight / norm)) for base, weight in merged]
    moved = [(name, float32(strength)) for name, strength in _merged(shifts)]
    return Mix(
        tuple((base, weight) for base, weight in merged if weight),
        tuple((name, strength) for name, strength in moved if strength),
    )


def float32(number: float) -> float:
    """The nearest number that a float32 holds. Raises ValueError for one that is too large."""
    try:
        found: float = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:  # of some platforms; of others it is infinite
        found = math.inf
    if math.isinf(found):
        raise ValueError(f"{number:g} is too large for a float32")
    return found


def mutated(mix: Mix, radius: float, fresh: Place) -> Mix:
    """sqrt(1 - radius²) · mix + radius · fresh; its shifts stay. Raises ValueError as `mix_of` does."""
    kept = math.sqrt(1.0 - radius * radius)
    return mix_of([*((base, weight * kept) for base, weight in mix.points), (fresh, radius)], mix.shifts)


def between(one: Mix, other: Mix, share: float) -> Mix:
    """The mix at `share`, 0 to 1, of the arc from one to the other, base points taken as perpendicular.

    Points that are equal stay as they are, and shifts are on a straight line. Raises ValueError for mixes that are
    opposite.
    """
    before, after = dict(one.shifts), dict(other.shifts)
    names = sorted(before.keys() | after.keys())
    moved = [(name, (1.0 - share) * before.get(name, 0.0) + share * after.get(name, 0.0)) for name in names]
    points = one.points if one.points == other.points else _on_arc(one, other, share)
    return mix_of(points, moved)


def _on_arc(one: Mix, other: Mix, share: float) -> Iterable[tuple[Base, float]]:
    """The arc is halved eight times, which takes square roots only; the rest of the way is a straight line."""
    starts, ends = dict(one.points), dict(other.points)
    bases = sorted(starts.keys() | ends.keys(), key=_order)
    start, end = ([of.get(base, 0.0) for base in bases] for of in (starts, ends))
    rest = share
    for _ in range(_HALVINGS):
        middle = _unit([a + b for a, b in zip(start, end, strict=True)])
        rest = rest * 2.0
        if rest < 1.0:
            end = middle
        else:
            start, rest = middle, rest - 1.0
    weights = [(1.0 - rest) * a + rest * b for a, b in zip(start, end, strict=True)]
    return zip(bases, weights, strict=True)


def _merged(pairs: Iterable[tuple[K, float]]) -> list[tuple[K, float]]:
    """Sorted by what is weighed; the weights of what is equal are added from the smallest to the largest."""
    found: dict[K, list[float]] = {}
    for key, weight in pairs:
        found.setdefault(key, []).append(weight)
    sums = [(key, _sum(sorted(weights))) for key, weights in sorted(found.items(), key=lambda pair: _order(pair[0]))]
    return [(key, weight) for key, weight in sums if weight]


def _sum(numbers: Iterable[float]) -> float:
    """Left to right, each addition rounded: Python's `sum` of floats is compensated since 3.12."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def _order(base: Base | str) -> tuple[int, Base | str]:
    return (1 if isinstance(base, bytes) else 0, base)


def _unit(weights: Sequence[float]) -> list[float]:
    total = _sum(weight * weight for weight in weights)
    if not total >= _LEAST:
        raise ValueError("they are opposite, so there is no shortest way between them")
    norm = math.sqrt(total)
    return [weight / norm for weight in weights]
