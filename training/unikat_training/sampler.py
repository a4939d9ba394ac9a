"""Which training images make up a step: more often those of rare cells, and a function of seed and step alone."""

import numpy as np
import numpy.typing as npt

SMALL_CELL = 20  # with fewer pictures than this, a cell is learned by heart or not at all


def cells(labels: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The combinations of categories that occur: (cells, A), and the cell of each image, (N,)."""
    found, membership = np.unique(labels, axis=0, return_inverse=True)
    return found, membership.reshape(-1)


class BalancedSampler:
    """Draws images with weight (size of their cell)^-balance, with replacement.

    There is no position to save: `batch(step)` is the same whenever and wherever it is asked for.
    """

    def __init__(self, labels: npt.NDArray[np.int64], balance: float, seed: int) -> None:
        _, membership = cells(labels)
        weights = np.bincount(membership)[membership].astype(np.float64) ** -balance  # (N,)
        self.cumulative = np.cumsum(weights) / weights.sum()
        self.seed = seed

    def batch(self, step: int, size: int) -> npt.NDArray[np.int64]:
        """Indices (size,) of the images of `step`."""
        draws = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, step, 0, 0])).random(size)
        chosen: npt.NDArray[np.int64] = np.searchsorted(self.cumulative, draws, side="right")
        return np.minimum(chosen, len(self.cumulative) - 1)  # a rounded-down last sum must not point past the end


def small_cells(labels: npt.NDArray[np.int64]) -> list[tuple[npt.NDArray[np.int64], int]]:
    """Cells with fewer than `SMALL_CELL` images, each with its size, the smallest first."""
    found, membership = cells(labels)
    sizes = np.bincount(membership)
    return [
        (found[index], int(sizes[index])) for index in np.argsort(sizes, kind="stable") if sizes[index] < SMALL_CELL
    ]
