"""A mix as one line of text: `7:3*0.8,9:0*0.6,shift:smile*1.5`. Files, manifests, entries, jobs and links have it.

A term is what is weighed, and its weight after `*`, which is 1 where it is left out: `seed:index`, `vector:` and the
numbers (float32, least significant byte first, in base64url without padding), or `shift:` and a direction. Numbers are
float32, written with the fewest digits that give the same one.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from unikat.recipes.mix import MAX_NUMBER, MAX_POINTS, MAX_SHIFT, MAX_WEIGHT, Base, Mix, float32, mix_of
from unikat.sampling import MAX_SEED

FORM: Final = "terms such as 7:3*0.8 (seed:index*weight) and shift:2*1.5 (direction and strength), separated by commas"
VECTOR: Final = "vector:"
SHIFT: Final = "shift:"
MAX_TEXT: Final = 2**24  # characters: 64 vectors of the longest latents
DIRECTION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

_PLACE: Final = re.compile(r"([0-9]{1,20}):([0-9]{1,10})")


def text_of(mix: Mix) -> str:
    """The line of a mix."""
    terms = [_term(_base_text(base), weight) for base, weight in mix.points]
    return ",".join(terms + [_term(f"{SHIFT}{name}", strength) for name, strength in mix.shifts])


def parse_mix(text: str) -> Mix:
    """The mix of a line, in canonical form. Raises ValueError for what is not of the form, or not a mix."""
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise ValueError(f"must be {FORM}")
    points: list[tuple[Base, float]] = []
    shifts: list[tuple[str, float]] = []
    for term in text.split(","):
        what, _, number = term.strip().partition("*")
        if what.startswith(SHIFT):
            shifts.append((_direction(what.removeprefix(SHIFT)), _number(term, number or "1", MAX_SHIFT)))
        else:
            points.append((_base(term, what), _number(term, number or "1", MAX_WEIGHT)))
    if len(shifts) > MAX_POINTS:
        raise ValueError(f"at most {MAX_POINTS} shifts, not {len(shifts)}")
    return mix_of(points, shifts)


def vector_bytes(numbers: Sequence[float]) -> bytes:
    """The numbers of a vector as a base point. Raises ValueError for one that is beyond MAX_NUMBER, or NaN."""
    wrong = next((i for i, number in enumerate(numbers) if not abs(number) <= MAX_NUMBER), None)
    if wrong is not None:
        raise ValueError(f"number {wrong} must be from -{MAX_NUMBER:g} to {MAX_NUMBER:g}, not {numbers[wrong]}")
    return struct.pack(f"<{len(numbers)}f", *numbers)


def vector_numbers(base: bytes) -> tuple[float, ...]:
    """The inverse of `vector_bytes`."""
    return struct.unpack(f"<{len(base) // 4}f", base)


@lru_cache(maxsize=256)
def shortest(number: float) -> float:
    """The number of fewest digits that is the same float32."""
    exact = struct.pack("f", number)
    return next(short for digits in range(1, 10) if struct.pack("f", short := float(f"{number:.{digits}g}")) == exact)


def _term(what: str, number: float) -> str:
    return what if number == 1.0 else f"{what}*{shortest(number)!r}"


def _base_text(base: Base) -> str:
    if isinstance(base, bytes):
        return VECTOR + base64.urlsafe_b64encode(base).decode().rstrip("=")
    return f"{base[0]}:{base[1]}"


def _base(term: str, what: str) -> Base:
    if what.startswith(VECTOR):
        return _vector(what.removeprefix(VECTOR))
    found = _PLACE.fullmatch(what)
    if found is None:
        raise ValueError(f'"{term[:80]}" is none of: {FORM}')
    seed, index = int(found[1]), int(found[2])
    if seed > MAX_SEED or index >= 2**32:
        raise ValueError(f'"{term[:80]}": a seed is at most {MAX_SEED}, an index at most {2**32 - 1}')
    return seed, index


def _vector(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"a vector must be base64url: {error}") from error
    if not data or len(data) % 4:
        raise ValueError(f"a vector must be float32 numbers, not {len(data)} bytes")
    return vector_bytes(vector_numbers(data))


def _direction(name: str) -> str:
    if not DIRECTION.fullmatch(name):
        raise ValueError(f'"{name[:80]}" is no name of a direction: a-z, 0-9 and -, at most 63 characters')
    return name


def _number(term: str, text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= most:
        raise ValueError(f'"{term[:80]}": the number after * must be from -{most:g} to {most:g}')
    return float32(number)
