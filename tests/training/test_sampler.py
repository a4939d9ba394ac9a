"""Sampling: rare cells more often, and nothing to remember between steps."""

from __future__ import annotations

import numpy as np
import pytest

from unikat_training.sampler import BalancedSampler, cells, small_cells

LABELS = np.array([[0, 0]] * 900 + [[0, 1]] * 90 + [[1, 1]] * 10)


def shares(balance: float) -> list[float]:
    sampler = BalancedSampler(LABELS, balance, seed=1)
    drawn = np.concatenate([sampler.batch(step, 100) for step in range(400)])
    _, membership = cells(LABELS)
    return [float(count) / len(drawn) for count in np.bincount(membership[drawn])]


@pytest.mark.parametrize(
    ("balance", "expected"),
    [(0.0, [0.9, 0.09, 0.01]), (1.0, [1 / 3, 1 / 3, 1 / 3]), (0.6, [0.622, 0.248, 0.103])],
)
def test_cells_are_drawn_in_the_share_that_balance_says(balance: float, expected: list[float]) -> None:
    sizes = np.array([900, 90, 10]) ** (1 - balance)
    assert expected == pytest.approx((sizes / sizes.sum()).tolist(), abs=0.03)
    assert shares(balance) == pytest.approx((sizes / sizes.sum()).tolist(), abs=0.01)


def test_every_image_of_a_cell_is_drawn() -> None:
    sampler = BalancedSampler(LABELS, 1.0, seed=1)
    drawn = np.concatenate([sampler.batch(step, 100) for step in range(400)])
    assert set(range(990, 1000)) <= set(drawn.tolist())


def test_a_step_is_the_same_whenever_it_is_asked_for() -> None:
    one, other = BalancedSampler(LABELS, 0.6, seed=1), BalancedSampler(LABELS, 0.6, seed=1)
    for step in range(10):
        one.batch(step, 32)
    assert one.batch(10, 32).tolist() == other.batch(10, 32).tolist()
    assert one.batch(10, 32).tolist() != other.batch(11, 32).tolist()
    assert one.batch(10, 32).tolist() != BalancedSampler(LABELS, 0.6, seed=2).batch(10, 32).tolist()


def test_a_plain_data_set_is_drawn_evenly() -> None:
    sampler = BalancedSampler(np.zeros((50, 0), dtype=np.int64), 0.6, seed=1)
    drawn = np.concatenate([sampler.batch(step, 100) for step in range(200)])
    assert np.bincount(drawn, minlength=50).min() > 300


def test_small_cells_are_named_the_smallest_first() -> None:
    assert [(labels.tolist(), size) for labels, size in small_cells(LABELS)] == [([1, 1], 10)]
