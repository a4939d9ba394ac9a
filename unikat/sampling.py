"""Seed and index to latent, the same numbers on every machine (docs/sampling.md tells it in any language).

Random bits are Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a pure
function of a key and a counter, so that image 1,999 needs nothing of the 1,998 before it. Bits become uniforms and
uniforms become normals by additions, multiplications, divisions and square roots in float64 alone: those are exact by
IEEE 754, whereas `log` and `cos` differ in the last bit between libraries and between processors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
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


class Purpose(IntEnum):
    """What the bits are for: the counter's last word, so that no two uses share a bit."""

    LATENT = 0
    CONDITIONS = 1


def philox(seed: int | Sequence[int], indices: npt.ArrayLike, purpose: Purpose, blocks: int) -> Words:
    """Random 32-bit words for images `indices` of `seed`, or each of a seed of its own.

    The key is (low word, high word) of `seed`; the counter is (block, low word of the index, high word, purpose).

    Returns uint64 of shape (len(indices), 4 * blocks), each below 2**32.
    """
    index = np.asarray(indices, dtype=np.uint64)[:, None]  # (n, 1)
    block = np.arange(blocks, dtype=np.uint64)[None, :]  # (1, blocks)
    shape = np.broadcast_shapes(index.shape, block.shape)
    words = [
        np.broadcast_to(word, shape)
        for word in (block, index & _MASK, index >> _SHIFT, np.uint64(purpose))  # (n, blocks) each
    ]
    seeds = np.asarray(seed, dtype=np.uint64).reshape(-1, 1)  # (1, 1) or (n, 1)
    key = (seeds & _MASK, seeds >> _SHIFT)
    for turn in range(ROUNDS):
        k0, k1 = ((k + np.uint64(turn * w)) & _MASK for k, w in zip(key, WEYL, strict=True))
        p0, p1 = words[0] * np.uint64(MULTIPLIERS[0]), words[2] * np.uint64(MULTIPLIERS[1])  # 64 bits hold it
        words = [(p1 >> _SHIFT) ^ words[1] ^ k0, p1 & _MASK, (p0 >> _SHIFT) ^ words[3] ^ k1, p0 & _MASK]
    return np.stack(words, axis=-1).reshape(shape[0], 4 * blocks)


def uniforms(words: Words) -> Floats:
    """32-bit words to float64 in the open interval (0, 1): `(word + 0.5) / 2**32`, which is exact."""
    return (words.astype(np.float64) + 0.5) / 4294967296.0


def latents(seed: int | Sequence[int], indices: Iterable[int], size: int) -> npt.NDArray[np.float32]:
    """Standard normal latents for images `indices` of `seed`, or each of a seed of its own.

    Returns float32 of shape (len(indices), size). Raises ValueError for a seed outside 0 to 2**64 - 1 or a size
    below 1.
    """
    for each in (seed,) if isinstance(seed, int) else seed:
        if not 0 <= each <= MAX_SEED:
            raise ValueError(f"seed: must be 0 to {MAX_SEED}, not {each}")
    if size < 1:
        raise ValueError(f"size: must be at least 1, not {size}")
    words = philox(seed, list(indices), Purpose.LATENT, blocks=-(-size // 4))[:, :size]
    return normals(uniforms(words)).astype(np.float32)


# Wichura's AS 241 (PPND16, Applied Statistics 37, 1988): |relative error| about 1e-16.
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
TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def normals(uniform: Floats) -> Floats:
    """The inverse of the normal distribution function at `uniform` (any shape, float64, inside (0, 1))."""
    q = uniform - 0.5
    central = np.abs(q) <= 0.425
    middle = q * _ratio(CENTRE, np.where(central, 0.180625 - q * q, 0.0))
    r = np.sqrt(-_log(np.where(central, 0.5, np.minimum(uniform, 1.0 - uniform))))
    outer = np.where(r <= 5.0, _ratio(MIDDLE, r - 1.6), _ratio(TAIL, r - 5.0))
    return np.where(central, middle, np.where(q < 0, -outer, outer))


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Floats) -> Floats:
    return _horner(coefficients[0], x) / _horner(coefficients[1], x)


def _horner(coefficients: tuple[float, ...], x: Floats) -> Floats:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


LN2 = 0.6931471805599453
SQRT_HALF = 0.7071067811865476
ATANH = tuple(1.0 / k for k in range(23, 0, -2))  # 2 atanh(f) = 2 f (1 + f²/3 + f⁴/5 + …), here up to f²²


def _log(x: Floats) -> Floats:
    """Natural logarithm by exact operations: x = m 2^e with m in [√½, √2), and log m = 2 atanh((m-1)/(m+1))."""
    m, e = np.frexp(x)  # m in [½, 1): exact
    low = m < SQRT_HALF
    m, e = np.where(low, m * 2.0, m), np.where(low, e - 1, e)
    f = (m - 1.0) / (m + 1.0)
    return e.astype(np.float64) * LN2 + 2.0 * f * _horner(ATANH, f * f)
