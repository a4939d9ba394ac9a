"""Pairs of drawings of one condition that shall differ as its pictures do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.making import TINY, operation, write_dataset
from tests.training.test_resume import assert_same_state
from unikat_training import variety
from unikat_training.changes import load_changes
from unikat_training.loop import train
from unikat_training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.mark.parametrize("alpha", [False, True])
def test_what_is_wanted_is_how_far_apart_the_pictures_of_a_condition_are(alpha: bool, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes", alpha=alpha)
    wanted = variety.wanted_differences(dataset)
    pixels = torch.from_numpy(dataset.layers(np.arange(len(dataset)))).permute(0, 3, 1, 2).float() / 127.5 - 1
    small = variety.thumbnails(pixels)
    rows = np.flatnonzero((dataset.labels == dataset.labels[0]).all(axis=1))[:8]
    pairs = [float(variety.difference(small[[i]], small[[j]])) for k, i in enumerate(rows) for j in rows[k + 1 :]]
    assert len(pairs) > 5
    assert wanted[0] == pytest.approx(np.mean(pairs), rel=0.2)  # the mean of all conditions counts as one more pair
    assert len({float(wanted[row]) for row in rows}) == 1
    assert len(set(wanted.tolist())) > 1


def test_shades_of_one_drawing_are_alike_and_another_shape_is_not() -> None:
    grid = torch.linspace(-1, 1, 64)
    disc = ((grid[:, None] ** 2 + grid[None] ** 2) < 0.4).float().expand(1, 3, 64, 64)
    square = ((grid[:, None].abs() < 0.5) & (grid[None].abs() < 0.5)).float().expand(1, 3, 64, 64)
    light, dark, other = (variety.thumbnails(each * 2 - 1) for each in (disc, disc * 0.7, square))
    assert variety.difference(light, dark) < 0.2 * variety.difference(light, other)


def test_pairs_that_differ_enough_cost_nothing_and_others_are_pushed_apart() -> None:
    one = torch.rand(4, 4, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    other = one.flip(3).requires_grad_()
    apart = variety.difference(variety.thumbnails(one), variety.thumbnails(other)).detach()
    assert variety.loss(one, other, apart * 0.99)[0] == 0
    loss, share = variety.loss(one, other, apart * 2)
    assert loss.item() == pytest.approx(0.5, abs=1e-5)
    assert share.item() == pytest.approx(0.5, abs=1e-5)
    (gradient,) = torch.autograd.grad(loss, other)
    with torch.no_grad():
        assert variety.loss(one, other - 5 * gradient, apart * 2)[0] < loss


def test_a_generator_whose_drawings_are_alike_draws_different_ones_after_some_steps(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes", alpha=True)
    trainer = Trainer(replace(TINY, batch=8, variety=5.0, auxiliary=0.0), dataset, CPU)
    with torch.no_grad():
        trainer.generator.start.weight.mul_(0.05)  # type: ignore[union-attr,operator]  # FastGenerator's
    shares = [trainer.step(step).variety for step in range(40)]
    assert 0 < np.mean(shares[:5]) < np.mean(shares[-5:])


def test_it_can_be_added_to_a_run_which_resumes_exactly(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    for run in ("whole", "halves"):
        train(dataset, tmp_path / run, TINY, operation(8))
    later = replace(TINY, variety=1.0)
    train(dataset, tmp_path / "whole", later, replace(operation(24), change=True))
    for images in (16, 24):
        train(dataset, tmp_path / "halves", later, replace(operation(images), change=True))
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    assert [str(each) for each in load_changes(tmp_path / "halves")] == [
        "At 8 images settings were changed: variety from 0.0 to 1.0."
    ]
