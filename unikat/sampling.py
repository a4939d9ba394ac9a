"""Seed and index to latent, the same numbers on every machine (docs/sampling.md tells it in any language).

Random bits are Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a pure
function of a key and a counter, so that image 1,999 needs nothing of the 1,998 before it. Bits become normals by
additions, multiplications, divisions and square roots in float64 alone: those are exact by IEEE 754, whereas `log` and
`cos` differ in the last bit between libraries and between processors.

For one image a NumPy call costs more than its 128 numbers do, and a call on operands of different shapes or strides
twice as much. So the inner loops have few calls, write in place, and see contiguous arrays of one shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

MAX_SEED: Final = 2**64 - 1

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_FACTORS = np.array(MULTIPLIERS, dtype=np.uint64)[:, None]  # (2, 1)
_TURNS = np.arange(ROUNDS, dtype=np.uint64)[:, None, None] * np.array(WEYL, dtype=np.uint64)[:, None]  # (rounds, 2, 1)


MAX_ATTEMPT: Final = 8  # drawings of an index that are given up as near copies, at most
_ATTEMPT: Final = 256  # what an attempt adds to the counter's last word: purposes are below it


class Purpose(IntEnum):
    """What the bits are for: the counter's last word, so that no two uses share a bit."""

    LATENT = 0
    CONDITIONS = 1


def philox(seed: int | Sequence[int], indices: Iterable[int], purpose: Purpose, blocks: int) -> Words:
    """Random 32-bit words for images `indices` of `seed`, or each of a seed of its own.

    The key is (low word, high word) of `seed`; the counter is (block, low word of the index, high word, purpose).

    Returns uint64 of shape (len(indices), 4 * blocks), each below 2**32. Raises ValueError for a seed outside 0 to
    2**64 - 1.
    """
    return _philox(seed, list(indices), _counters((purpose, blocks)))


def latents(seed: int | Sequence[int], indices: Iterable[int], size: int, attempt: int = 0) -> npt.NDArray[np.float32]:
    """Standard normal latents for images `indices` of `seed`, or each of a seed of its own, in their `attempt`.

    Returns float32 of shape (len(indices), size). Raises ValueError for a seed outside 0 to 2**64 - 1, a size below 1
    or an attempt outside 0 to MAX_ATTEMPT.
    """
    words = _philox(seed, list(indices), _counters((_latent(attempt), _blocks(size))))
    return normals(words[:, :size]).astype(np.float32)


def condition_uniforms(seed: int | Sequence[int], indices: Iterable[int]) -> list[float]:
    """For each image the uniform, inside (0, 1), that draws what its request left open. Raises as `philox` does."""
    return _uniforms(philox(seed, indices, Purpose.CONDITIONS, blocks=1))


def latents_and_uniforms(
    seed: int | Sequence[int], indices: Iterable[int], size: int
) -> tuple[npt.NDArray[np.float32], list[float]]:
    """What `latents` and `condition_uniforms` give, in one pass of the generator. Raises as `latents` does."""
    words = _philox(seed, list(indices), _counters((Purpose.LATENT, _blocks(size)), (Purpose.CONDITIONS, 1)))
    return normals(words[:, :size]).astype(np.float32), _uniforms(words[:, -4:])


def _latent(attempt: int) -> int:
    """The counter's last word for the latent of an attempt."""
    if not 0 <= attempt <= MAX_ATTEMPT:
        raise ValueError(f"attempt: must be 0 to {MAX_ATTEMPT}, not {attempt}")
    return Purpose.LATENT + _ATTEMPT * attempt


def _blocks(size: int) -> int:
    if size < 1:
        raise ValueError(f"size: must be at least 1, not {size}")
    return -(-size // 4)


@lru_cache(maxsize=64)
def _counters(*uses: tuple[int, int]) -> Words:
    """The counter words that no image changes, for so many blocks of each purpose: (2, blocks), block and purpose."""
    counters = np.array([[block, purpose] for purpose, blocks in uses for block in range(blocks)], dtype=np.uint64)
    counters.flags.writeable = False
    return counters.reshape(-1, 2).T


def _philox(seed: int | Sequence[int], indices: Sequence[int], counters: Words) -> Words:
    """Words of every image under every counter: (images, 4 * counters)."""
    seeds = [seed] * len(indices) if isinstance(seed, int) else seed
    for each in seeds:
        if not 0 <= each <= MAX_SEED:
            raise ValueError(f"seed: must be 0 to {MAX_SEED}, not {each}")
    shape = (2, len(indices), counters.shape[1])
    rows = np.array([seeds, indices], dtype=np.uint64)  # (2, images)
    low, high = (rows & _MASK)[..., None], (rows >> _SHIFT)[..., None]  # (2, images, 1)
    keys = np.empty((ROUNDS, *shape), dtype=np.uint64)
    keys[:] = ((np.array((low[0], high[0])).reshape(2, -1) + _TURNS) & _MASK)[..., None]
    even, odd = np.empty(shape, dtype=np.uint64), np.empty(shape, dtype=np.uint64)
    even[0], even[1] = counters[0], high[1]  # words 0 and 2
    odd[0], odd[1] = low[1], counters[1]  # words 1 and 3
    even, odd = _rounds(even.reshape(2, -1), odd.reshape(2, -1), keys.reshape(ROUNDS, 2, -1))
    return np.stack((even, odd)).transpose(2, 1, 0).reshape(shape[1], 4 * shape[2])


def _rounds(even: Words, odd: Words, keys: Words) -> tuple[Words, Words]:
    """The rounds of Philox in place, on words 0 and 2 (even), 1 and 3 (odd), all (2, n), by `keys` (rounds, 2, n)."""
    factors = np.empty_like(even)
    factors[:] = _FACTORS
    products = np.empty((3, even.shape[1]), dtype=np.uint64)  # of word 0, of word 2, and the first again:
    pair, swapped = products[:2], products[1:]  # a round swaps the products, and rows 1 and 2 are the swapped pair
    for key in keys:
        np.multiply(even, factors, out=pair)  # 64 bits hold it
        products[2] = products[0]
        np.right_shift(swapped, _SHIFT, out=even)
        even ^= odd
        even ^= key
        np.bitwise_and(swapped, _MASK, out=odd)
    return even, odd


def _uniforms(words: Words) -> list[float]:
    """53 bits of the first two words: (0, 1) with steps far below any combination's share."""
    return [((first >> 5) * 2**26 + (second >> 6) + 0.5) / 2.0**53 for first, second, *_ in words.tolist()]


# Wichura's AS 241 (PPND16, Applied Statistics 37, 1988): |relative error| about 1e-16. Its third table is for
# r = sqrt(-log u) > 5, below u = 1.4e-11; the smallest uniform of 32 bits is 2**-33 = 1.2e-10, where r is 4.79.
CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip


def normals(words: Words) -> Floats:
    """The inverse of the normal distribution function at u = (word + 0.5) / 2**32, of 32-bit words of any shape."""
    q = (words.ravel() - 2147483647.5) * 2.0**-32  # u - 0.5: 33 bits, exact
    distance = np.abs(q)
    values = _ratio(CENTRE, 0.180625 - q * q)
    values *= q
    outer = np.flatnonzero(distance > 0.425)  # 15%: only these need the logarithm
    r = np.sqrt(-_log(0.5 - distance[outer]))  # of u or 1 - u, the smaller; exact as well
    values[outer] = np.copysign(_ratio(MIDDLE, r - 1.6), q[outer])
    return values.reshape(words.shape)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Floats) -> Floats:
    return _horner(coefficients[0], x) / _horner(coefficients[1], x)


def _horner(coefficients: tuple[float, ...], x: Floats) -> Floats:
    total = x * coefficients[0]
    total += coefficients[1]
    for coefficient in coefficients[2:]:
        total *= x
        total += coefficient
    return total


LN2 = 0.6931471805599453
SQRT_HALF = 0.7071067811865476
ATANH = tuple(1.0 / k for k in range(23, 0, -2))  # 2 atanh(f) = 2 f (1 + f²/3 + f⁴/5 + …), here up to f²²


def _log(x: Floats) -> Floats:
    """Natural logarithm by exact operations: x = m 2^e with m in [√½, √2), and log m = 2 atanh((m-1)/(m+1))."""
    m, e = np.frexp(x)  # m in [½, 1): exact
    low = m < SQRT_HALF
    m = np.where(low, m * 2.0, m)
    f = (m - 1.0) / (m + 1.0)
    return (e - low) * LN2 + 2.0 * f * _horner(ATANH, f * f)
