"""How near generated pictures as a whole are to real ones: distances of distributions, and overlap of manifolds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unikat_training.evaluation.neighbours import Doubles, Floats, distance_blocks, radii

NEIGHBOURS = 5  # k of precision, recall, density and coverage (Naeem et al. 2020)
SUBSET = 500  # pictures in each of KID's subsets, or as many as there are
KERNEL_SEED = 11


@dataclass(frozen=True)
class Similarity:
    """Of `count` pictures to `real` real ones, in one kind of features."""

    features: str
    count: int
    real: int
    frechet: float  # 0 is best; never to be called FID unless the features are Inception's
    kid: float  # 0 is best; may be slightly below
    kid_std: float  # over the subsets
    precision: float  # share of them that lie among real pictures; blown up by outliers among these
    recall: float  # share of real pictures that lie among them; blown up by outliers among them
    density: float  # around 1 for real pictures; above: they crowd where real ones are dense
    coverage: float  # share of real pictures that have one of them for a neighbour


def compare(features: str, real: Floats, other: Floats, subsets: int) -> Similarity:
    """`other` (M, D) with real (N, D). Both need more pictures than `NEIGHBOURS`."""
    kid, deviation = kernel_distance(real, other, subsets)
    return Similarity(
        features, len(other), len(real), frechet_distance(real, other), kid, deviation, *overlap(real, other)
    )


def frechet_distance(one: Floats, other: Floats) -> float:
    """Of normal distributions (Dowson & Landau 1982; FID of Heusel et al. 2017 in the features of Inception):

    |mean difference|² + tr(S1 + S2 - 2 (S1 S2)^½) fitted to (N, D) and (M, D).

    The trace of the root is that of (S1^½ S2 S1^½)^½, which is symmetric: eigenvalues of symmetric matrices are exact
    and real, however few pictures there are.
    """
    means = [points.mean(axis=0, dtype=np.float64) for points in (one, other)]
    # scaled so that S = X^T X
    x, y = ((points - mean) / np.sqrt(len(points) - 1) for points, mean in zip((one, other), means, strict=True))
    apart = means[0] - means[1]
    return max(0.0, float(apart @ apart + (x * x).sum() + (y * y).sum() - 2 * trace_of_root(x, y)))


def trace_of_root(x: Doubles, y: Doubles) -> float:
    """tr(S1 S2)^½ of S1 = X^T X and S2 = Y^T Y: also the sum of the singular values of X Y^T (N, M)."""
    if min(len(x), len(y)) < x.shape[1]:
        return float(np.linalg.svd(x @ y.T, compute_uv=False).sum())
    values, vectors = np.linalg.eigh(x.T @ x)
    half = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return float(np.sqrt(np.linalg.eigvalsh(half @ (y.T @ y) @ half).clip(min=0)).sum())


def kernel_distance(one: Floats, other: Floats, subsets: int) -> tuple[float, float]:
    """KID of (N, D) and (M, D): mean and deviation over subsets.

    The squared maximum mean discrepancy with the kernel (x·y / D + 1)³, by its unbiased estimator, which few pictures
    make noisier but not larger (Bińkowski, Sutherland, Arbel & Gretton, "Demystifying MMD GANs", ICLR 2018).
    """
    size = min(SUBSET, len(one), len(other))
    rng = np.random.default_rng(KERNEL_SEED)
    found = []
    for _ in range(subsets):
        x, y = (points[rng.choice(len(points), size, replace=False)].astype(np.float64) for points in (one, other))
        within = sum(float(kernel(a, a).sum() - np.trace(kernel(a, a))) for a in (x, y)) / (size * (size - 1))
        found.append(within - 2 * float(kernel(x, y).mean()))
    return float(np.mean(found)), float(np.std(found))


def kernel(x: Doubles, y: Doubles) -> Doubles:
    values: Doubles = (x @ y.T / x.shape[1] + 1) ** 3
    return values


def overlap(real: Floats, other: Floats) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage of other (M, D) with real (N, D); balls reach to the k-th neighbour.

    Precision: the share of the others in any real ball; recall: of the real ones in any of the others' balls
    (Kynkäänniemi et al., "Improved precision and recall", NeurIPS 2019). A point far from its own kind has a ball that
    holds nearly everything. Density counts in how many real balls each of the others lies, over k; coverage is the
    share of real balls that hold any of the others (Naeem et al., "Reliable fidelity and diversity metrics for
    generative models", ICML 2020, eq. 3 and 4).
    """
    of_real, of_other = radii(real, NEIGHBOURS), radii(other, NEIGHBOURS)
    inside = np.zeros(len(other), dtype=np.int64)  # in how many real balls each of the others lies
    recalled, covered = np.zeros((2, len(real)), dtype=np.bool_)
    for rows, block in distance_blocks(real, other):
        distances: npt.NDArray[np.float32] = block.numpy()
        within = distances < of_real[rows, None]  # (b, M)
        inside += within.sum(axis=0)
        covered[rows] = within.any(axis=1)
        recalled[rows] = (distances < of_other).any(axis=1)
    density = inside.mean() / NEIGHBOURS
    return float((inside > 0).mean()), float(recalled.mean()), float(density), float(covered.mean())
