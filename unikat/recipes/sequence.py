"""Which mix each image of a request has: mutations of one, or the frames of a walk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from unikat.recipes.mix import MAX_POINTS, Mix, between, mutated
from unikat.recipes.text import parse_mix, text_of
from unikat.sampling import MAX_SEED

MAX_KEYFRAMES: Final = 64
MAX_FRAMES: Final = 1_000_000


@dataclass(frozen=True)
class Mutations:
    """Image i is `mix` rotated by `radius` towards point i of `seed`; with radius 0, all are `mix`."""

    mix: Mix
    radius: float = 0.0
    seed: int = 0

    def at(self, index: int) -> Mix:
        """The mix of an image. Raises ValueError where its fresh point cancels the mix out."""
        return mutated(self.mix, self.radius, (self.seed, index)) if self.radius else self.mix

    def to_json(self) -> dict[str, Any]:
        """JSON values, as jobs have them."""
        said: dict[str, Any] = {"mix": text_of(self.mix)}
        return said | ({"radius": self.radius, "seed": self.seed} if self.radius else {})


@dataclass(frozen=True)
class Walk:
    """Image k is frame k of the way along `keyframes`; `smooth`: slow at each, otherwise at constant speed.

    `loop`: from the last one it goes on to the first.
    """

    keyframes: tuple[Mix, ...]
    frames: int
    loop: bool = False
    smooth: bool = False

    def at(self, index: int) -> Mix:
        """The mix of a frame, 0 to `frames` - 1; of a keyframe, exactly that. Raises ValueError as `between` does."""
        one, other, share = place_of(index, len(self.keyframes), self.frames, self.loop, self.smooth)
        return between(self.keyframes[one], self.keyframes[other], share) if share else self.keyframes[one]

    def to_json(self) -> dict[str, Any]:
        """JSON values, as jobs have them."""
        said: dict[str, Any] = {"keyframes": [text_of(mix) for mix in self.keyframes], "frames": self.frames}
        return said | ({"loop": True} if self.loop else {}) | ({"smooth": True} if self.smooth else {})


def place_of(frame: int, keyframes: int, frames: int, loop: bool, smooth: bool = False) -> tuple[int, int, float]:
    """Between which two keyframes a frame lies, by number, and how much of the way it is from the first of them."""
    ways, steps = (keyframes, frames) if loop else (keyframes - 1, frames - 1)
    way, rest = divmod(frame * ways, steps)
    share = rest / steps
    return way % keyframes, (way + 1) % keyframes, share * share * (3.0 - 2.0 * share) if smooth else share


MixSequence: TypeAlias = Mutations | Walk


def sequence_from_json(said: Mapping[str, Any]) -> MixSequence:
    """The inverse of `to_json`. Raises ValueError for anything else."""
    try:
        return _walk(said) if "keyframes" in said else _mutations(said)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a recipe: {error!r}") from error


def _mutations(said: Mapping[str, Any]) -> Mutations:
    radius, seed = said.get("radius", 0.0), said.get("seed", 0)
    is_radius = type(radius) in (int, float) and math.isfinite(radius) and 0 <= radius <= 1
    if not (is_radius and type(seed) is int and 0 <= seed <= MAX_SEED):
        raise ValueError("not a recipe: a mutation has a radius from 0 to 1, and a seed")
    return Mutations(parse_mix(said["mix"]), float(radius), seed)


def _walk(said: Mapping[str, Any]) -> Walk:
    keyframes, frames = said["keyframes"], said["frames"]
    if not isinstance(keyframes, list) or not 2 <= len(keyframes) <= MAX_KEYFRAMES:
        raise ValueError(f"not a recipe: a walk has 2 to {MAX_KEYFRAMES} keyframes")
    if type(frames) is not int or not 2 <= frames <= MAX_FRAMES:
        raise ValueError(f"not a recipe: a walk has 2 to {MAX_FRAMES} frames")
    return Walk(tuple(map(parse_mix, keyframes)), frames, said.get("loop") is True, said.get("smooth") is True)


def way_problem(one: Mix, other: Mix) -> str:
    """Why there is no way from one keyframe to the next; empty if there is one."""
    together = len(dict(one.points).keys() | dict(other.points).keys())
    if together > MAX_POINTS:
        return f"the two have {together} base points together; at most {MAX_POINTS}"
    try:
        between(one, other, 0.5)
    except ValueError as error:
        return str(error)
    return ""
