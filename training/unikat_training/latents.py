"""The latents of `unikat.sampling` in torch, on any device: for previews, the numbers that the service will draw with.

The same steps in the same order. torch has no unsigned 64-bit arithmetic, so products wrap into negative numbers: their
bits are the same, and masks take what is needed.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from unikat.sampling import (
    ATANH,
    CENTRE,
    LN2,
    MAX_SEED,
    MIDDLE,
    MULTIPLIERS,
    ROUNDS,
    SQRT_HALF,
    WEYL,
    Purpose,
)

MASK = 0xFFFFFFFF


def latents(seed: int, indices: Iterable[int], size: int, device: torch.device | str = "cpu") -> Tensor:
    """Standard normal latents, float32 (len(indices), size). Raises ValueError as `unikat.sampling.latents` does."""
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed: must be 0 to {MAX_SEED}, not {seed}")
    if size < 1:
        raise ValueError(f"size: must be at least 1, not {size}")
    index = torch.tensor(list(indices), dtype=torch.int64, device=device)
    words = philox(seed, index, -(-size // 4))[:, :size]
    return normals((words.double() + 0.5) / 4294967296.0).float()


def philox(seed: int, index: Tensor, blocks: int) -> Tensor:
    """32-bit words of the latents of images `index` (n,): int64 (n, 4 * blocks)."""
    block = torch.arange(blocks, dtype=torch.int64, device=index.device).expand(len(index), blocks)
    column = index[:, None].expand(len(index), blocks)
    words = [block, column & MASK, column >> 32, torch.full_like(column, int(Purpose.LATENT))]  # (n, blocks) each
    key = (seed & MASK, seed >> 32)
    for turn in range(ROUNDS):
        k0, k1 = ((k + turn * w) & MASK for k, w in zip(key, WEYL, strict=True))
        p0, p1 = words[0] * MULTIPLIERS[0], words[2] * MULTIPLIERS[1]
        words = [high(p1) ^ words[1] ^ k0, p1 & MASK, high(p0) ^ words[3] ^ k1, p0 & MASK]
    return torch.stack(words, dim=-1).flatten(1)


def high(product: Tensor) -> Tensor:
    """The upper 32 bits: the shift drags the sign along, the mask takes it away."""
    return (product >> 32) & MASK


def normals(uniform: Tensor) -> Tensor:
    """The inverse of the normal distribution function at uniforms of 32 bits, float64 of any shape."""
    q = uniform - 0.5
    central = q.abs() <= 0.425
    middle = q * ratio(CENTRE, torch.where(central, 0.180625 - q * q, 0.0))
    r = (-log(torch.where(central, 0.5, torch.minimum(uniform, 1.0 - uniform)))).sqrt()
    outer = ratio(MIDDLE, r - 1.6)
    return torch.where(central, middle, torch.where(q < 0, -outer, outer))


def ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Tensor) -> Tensor:
    return horner(coefficients[0], x) / horner(coefficients[1], x)


def horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    total = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient  # two operations, each rounded: no fused multiply-add
    return total


def log(x: Tensor) -> Tensor:
    mantissa, exponent = torch.frexp(x)
    low = mantissa < SQRT_HALF
    mantissa, exponent = torch.where(low, mantissa * 2.0, mantissa), torch.where(low, exponent - 1, exponent)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    return exponent.double() * LN2 + 2.0 * f * horner(ATANH, f * f)
