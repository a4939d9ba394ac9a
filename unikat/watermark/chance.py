"""How probable it is that a picture without the mark looks like one with it.

The dither makes the phase of each projection uniform over the keys, whatever the picture is. What is left of a mark is
near its lattice points, about as a normal distribution is, and its logarithm is a parabola of the phase: what a phase φ
says is the parabola's first two harmonics, cos φ - cos(2φ) / 4. So the sum S of what n phases say for the bits of one
code word is, for a picture made without the key, a sum of n independent g(φ) of uniform φ, and P(S ≥ t) is
exp(-λ t) E[exp(λ g)]ⁿ times the mean of exp(-λ (S - t)) over S ≥ t under the tilted distribution, for every λ. That
mean is at most 1 (Chernoff's bound) and at most the tilted density's largest value divided by λ, which is at most the
mean over all frequencies of |E[exp((λ + iu) g)] / E[exp(λ g)]|ⁿ (Bahadur and Rao, "On deviations of the sample mean",
Ann. Math. Stat. 31(4), 1960, have the limit of the latter).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_LAMBDAS: Final = np.geomspace(0.1, 60, 64)
_WIDTHS: Final = np.linspace(0, 8, 48)  # of the tilted sum's characteristic function: no more is left beyond


def evidence(cosines: Doubles) -> Doubles:
    """What phases say for a mark, by their cosines."""
    said: Doubles = cosines - (2 * cosines * cosines - 1) / 4
    return said


_SAID: Final = evidence(np.cos(np.pi * (np.arange(128) + 0.5) / 128))  # means over these are means over all phases


def log_chances(totals: Doubles, weights: tuple[float, ...]) -> Doubles:
    """(N,) sums of `evidence`, each times its weight, to natural logarithms of bounds on the chance of as much."""
    logs: Doubles = np.minimum(0, (_bounds(weights) - _LAMBDAS * totals[:, None]).min(axis=1))
    return logs


@lru_cache
def _bounds(weights: tuple[float, ...]) -> Doubles:
    """For each λ the logarithm of the product of E[exp(λwg)], times the lesser of the two bounds on the mean."""
    values, counts = np.unique(weights, return_counts=True)
    tilts = np.exp(_LAMBDAS[:, None, None] * values[:, None] * (_SAID - _SAID.max()))  # (λ, value, angle)
    shares = tilts / tilts.sum(axis=2, keepdims=True)
    means = shares @ _SAID
    spreads = np.sqrt(((shares @ _SAID**2 - means**2) * values**2) @ counts)
    frequencies = _WIDTHS / spreads[:, None]  # (λ, frequency)
    sizes = np.ones_like(frequencies)
    for index, (value, count) in enumerate(zip(values, counts, strict=True)):
        waves = np.exp(1j * value * frequencies[..., None] * _SAID)
        sizes *= np.abs((waves * shares[:, None, index]).sum(axis=2)) ** count
    density = np.trapezoid(sizes, frequencies, axis=1) / np.pi
    products = (np.log(tilts.mean(axis=2)) + _LAMBDAS[:, None] * values * _SAID.max()) @ counts
    logs: Doubles = products + np.minimum(0, np.log(density / _LAMBDAS))
    return logs
