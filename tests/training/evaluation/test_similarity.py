"""Distances of distributions and overlap of manifolds, against closed forms and independent implementations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from unikat_training.evaluation.neighbours import BLOCK, nearest, radii
from unikat_training.evaluation.similarity import compare, frechet_distance, kernel_distance, overlap

Floats = npt.NDArray[np.float32]


def normal(seed: int, count: int, size: int, scale: float = 1.0, shift: float = 0.0) -> Floats:
    return (np.random.default_rng(seed).normal(size=(count, size)) * scale + shift).astype(np.float32)


def test_the_frechet_distance_of_known_normal_distributions_is_found() -> None:
    # |shift|² a dimension, plus (1 - scale)² a dimension: the closed form for covariances I and scale² I
    one, other = normal(1, 40_000, 4), normal(2, 40_000, 4, scale=2.0, shift=0.5)
    assert frechet_distance(one, other) == pytest.approx(4 * (0.5**2 + 1.0**2), rel=0.03)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


class Identity(nn.Module):
    """Lets torchmetrics measure features as they are."""

    num_features = 6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def test_the_frechet_distance_is_that_of_torchmetrics() -> None:
    one, other = normal(1, 300, 6), normal(2, 200, 6, scale=1.5, shift=0.3) @ normal(3, 6, 6)
    metric = FrechetInceptionDistance(feature=Identity(), normalize=True, input_img_size=(1, 1, 6))
    metric.set_dtype(torch.float64)
    for points, real in ((one, True), (other, False)):
        metric.update(torch.from_numpy(points.astype(np.float64)), real=real)
    assert frechet_distance(one, other) == pytest.approx(float(metric.compute()), rel=1e-4)


def test_few_pictures_in_many_features_give_the_same_distance_as_the_square_matrices() -> None:
    one, other = normal(1, 20, 30), normal(2, 25, 30, scale=2)
    wide = frechet_distance(one, other)  # by singular values
    first, second = np.cov(one.T.astype(np.float64)), np.cov(other.T.astype(np.float64))
    roots = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    apart = one.mean(axis=0, dtype=np.float64) - other.mean(axis=0, dtype=np.float64)
    assert wide == pytest.approx(apart @ apart + np.trace(first) + np.trace(second) - 2 * roots, rel=1e-4)


def test_kid_is_that_of_torchmetrics() -> None:
    one, other = normal(1, 50, 6), normal(2, 50, 6, shift=0.4)
    found, deviation = kernel_distance(one, other, subsets=3)  # subsets of all pictures: each the same
    assert deviation == pytest.approx(0, abs=1e-6)
    with pytest.warns(UserWarning, match="buffer"):  # that it keeps all features
        metric = KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=50, normalize=False)
    for points, real in ((one, True), (other, False)):
        metric.update(torch.from_numpy(points), real=real)
    assert found == pytest.approx(float(metric.compute()[0]), rel=1e-3)


def test_kid_of_the_same_distribution_is_around_zero() -> None:
    same, spread = kernel_distance(normal(1, 2000, 8), normal(2, 2000, 8), subsets=20)
    other, _ = kernel_distance(normal(1, 2000, 8), normal(2, 2000, 8, shift=0.5), subsets=20)
    assert abs(same) < 3 * spread
    assert other > 10 * abs(same)


def slow_overlap(real: Floats, other: Floats, k: int = 5) -> tuple[float, float, float, float]:
    """Naeem et al. (2020), word for word."""

    def distances(a: Floats, b: Floats) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = np.linalg.norm(a[:, None].astype(np.float64) - b[None], axis=2)
        return found

    of_real, of_other = (np.sort(distances(each, each), axis=1)[:, k] for each in (real, other))
    across = distances(real, other)
    within = across < of_real[:, None]
    return (
        float(within.any(axis=0).mean()),
        float((across < of_other[None]).any(axis=1).mean()),
        float(within.sum(axis=0).mean() / k),
        float((across.min(axis=1) < of_real).mean()),
    )


def test_overlap_is_that_of_a_slow_implementation_across_blocks() -> None:
    real, other = normal(1, BLOCK + 40, 5), normal(2, 150, 5, scale=0.7, shift=0.3)
    assert overlap(real, other) == pytest.approx(slow_overlap(real, other), abs=2e-3)
    assert overlap(other, real) == pytest.approx(slow_overlap(other, real), abs=2e-3)


def test_precision_and_recall_tell_narrow_from_wrong() -> None:
    real = normal(1, 800, 4)
    narrow, wrong = normal(2, 800, 4, scale=0.2), normal(3, 800, 4, shift=9)
    precision, recall, density, coverage = overlap(real, narrow)
    assert precision > 0.98
    assert density > 1.05
    assert max(recall, coverage) < 0.3
    assert overlap(real, wrong) == (0, 0, 0, 0)


def test_far_from_the_origin_neighbours_are_still_told_apart() -> None:
    points = normal(1, 400, 3, scale=0.01, shift=1000.0)
    exact = np.sort(np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2), axis=1)
    np.testing.assert_allclose(radii(points, 3), exact[:, 3], rtol=1e-3)


def test_a_copy_is_at_distance_zero_and_nobody_is_its_own_neighbour() -> None:
    points = normal(1, BLOCK + 10, 6, shift=50.0)
    places, distances = nearest(points[[7, BLOCK + 3]], points)
    assert places.tolist() == [7, BLOCK + 3]
    assert distances.tolist() == [0, 0]
    places, distances = nearest(points, points, own=np.arange(len(points)))
    assert (places != np.arange(len(points))).all()
    assert (distances > 0).all()


def test_every_figure_names_its_features_and_numbers() -> None:
    found = compare("pixels", normal(1, 60, 4), normal(2, 80, 4), subsets=2)
    assert (found.features, found.real, found.count) == ("pixels", 60, 80)
    with pytest.raises(ValueError, match="5-th neighbour"):
        compare("pixels", normal(1, 5, 4), normal(2, 80, 4), subsets=2)
