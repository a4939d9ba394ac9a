"""Distances between many points, in blocks, so that 10,000 x 10,000 need no memory to speak of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

BLOCK = 1024  # rows at a time


def distance_blocks(points: Floats, others: Floats) -> Iterator[tuple[slice, Tensor]]:
    """Euclidean distances from points (N, D) to others (M, D): slices of rows, each with its block (b, M)."""
    # moved to the middle of the others: squares of large equal offsets would eat the differences' digits
    middle = others.mean(axis=0, dtype=np.float64).astype(np.float32)
    a, b = torch.from_numpy(points - middle), torch.from_numpy(others - middle)
    squares = b.square().sum(dim=1)  # (M,)
    for start in range(0, len(a), BLOCK):
        rows = a[start : start + BLOCK]
        squared = rows.square().sum(dim=1, keepdim=True) + squares - 2 * rows @ b.T  # (b, M)
        yield slice(start, start + len(rows)), squared.clamp_(min=0).sqrt_()


def nearest(points: Floats, others: Floats, own: Places | None = None) -> tuple[Places, Doubles]:
    """For each point its nearest other, (N,), and the distance. `own`: which of the others it is itself, to pass over.

    The distance is that of the difference, not the one of the search, so a copy's is 0.
    """
    found = np.empty(len(points), dtype=np.int64)
    for rows, block in distance_blocks(points, others):
        if own is not None:
            block[torch.arange(len(block)), torch.from_numpy(own[rows])] = torch.inf
        found[rows] = block.argmin(dim=1).numpy()
    distances = np.empty(len(points))
    for start in range(0, len(points), BLOCK):
        rows = slice(start, start + BLOCK)
        distances[rows] = np.linalg.norm(points[rows].astype(np.float64) - others[found[rows]], axis=1)
    return found, distances


def radii(points: Floats, k: int) -> Floats:
    """The distance from each point (N, D) to its k-th nearest other one, (N,). Raises ValueError for N <= k."""
    if len(points) <= k:
        raise ValueError(f"{len(points)} points have no {k}-th neighbour")
    out = np.empty(len(points), dtype=np.float32)
    for rows, block in distance_blocks(points, points):
        block[torch.arange(len(block)), torch.arange(rows.start, rows.stop)] = torch.inf
        out[rows] = block.kthvalue(k, dim=1).values.numpy()
    return out
