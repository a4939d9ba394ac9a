"""Losses, penalties and schedules, compared with what can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.making import TINY, tiny, write_dataset
from unikat_training.config import Config
from unikat_training.losses import LOSSES, gradient_penalty, overfitting
from unikat_training.schedules import cosine, gamma_rule, rates_at
from unikat_training.trainer import Computing, Trainer


def test_losses_are_those_of_their_papers() -> None:
    real, drawn = torch.tensor([[2.0]]), torch.tensor([[-0.5]])
    hinge, rpgan, bce = (LOSSES[name] for name in ("hinge", "rpgan", "bce"))
    assert float(hinge.discriminator(real, drawn)) == 0.5
    assert float(hinge.generator(real, drawn)) == 0.5
    assert float(rpgan.discriminator(real, drawn)) == pytest.approx(math.log(1 + math.exp(-2.5)))
    assert float(rpgan.generator(real, drawn)) == pytest.approx(math.log(1 + math.exp(2.5)))
    expected = -math.log(1 / (1 + math.exp(-2.0))) - math.log(1 - 1 / (1 + math.exp(0.5)))
    assert float(bce.discriminator(real, drawn)) == pytest.approx(expected)
    assert float(bce.generator(real, drawn)) == pytest.approx(-math.log(1 / (1 + math.exp(0.5))))


def test_the_penalty_is_the_squared_norm_of_the_gradient() -> None:
    images = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    slope = torch.randn(3 * 4 * 4, generator=torch.Generator().manual_seed(1))
    logits = (images.flatten(1) @ slope)[:, None] + 7
    assert float(gradient_penalty(images, [logits])) == pytest.approx(float(slope.square().sum()), rel=1e-5)
    places = logits.expand(-1, 9)  # many places that say the same are one opinion
    assert float(gradient_penalty(images, [places, logits])) == pytest.approx(float(slope.square().sum()), rel=1e-5)


def test_overfitting_is_told_from_signs() -> None:
    real, drawn = [torch.tensor([[3.0], [1.0], [-1.0], [2.0]])], [torch.tensor([[2.0], [2.0], [-2.0], [1.0]])]
    assert float(overfitting(LOSSES["hinge"], real, drawn)) == 0.5
    assert float(overfitting(LOSSES["rpgan"], real, drawn)) == 0.5
    assert float(overfitting(LOSSES["rpgan"], real, [x + 9 for x in drawn])) == -1


def test_lazy_penalties_are_as_strong_on_average_as_those_of_every_step(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    for lazy in (1, 4):
        config = tiny("r3gan", lazy=lazy, learning_rate=1e-9, gamma_to=1.0, augment=0.0)
        trainer = Trainer(config, dataset, torch.device("cpu"))
        penalties = [trainer.step(step).penalty for step in range(16)]
        assert [penalty > 0 for penalty in penalties] == [step % lazy == 0 for step in range(16)]
        if lazy == 1:
            every_step = sum(penalties)
    assert sum(penalties) == pytest.approx(every_step, rel=0.3)  # the same networks, other pictures


def test_gamma_follows_resolution_and_pictures() -> None:
    assert gamma_rule(64, 1_280_000) == 1
    assert gamma_rule(64, 70_000) == pytest.approx(2, abs=0.1)  # the paper's for FFHQ
    assert gamma_rule(128, 1_280_000) == 4
    assert gamma_rule(64, 80_000) == 2


def test_everything_that_changes_does_so_by_one_cosine() -> None:
    config = replace(
        Config(),
        decay_from=100,
        decay_to=300,
        beta2=0.9,
        beta2_to=0.99,
        gamma=2.0,
        ema_images_from=10,
        augment_ramp=True,
    )
    before, half, after = (rates_at(config, images, rule=3.0) for images in (100, 200, 400))
    assert (before.learning_rate, before.beta2, before.gamma, before.ema_images, before.augment) == (
        config.learning_rate,
        0.9,
        6.0,
        10,
        0.0,
    )
    assert (half.beta2, half.gamma, half.augment) == pytest.approx((0.945, 3.3, 0.25))
    assert (after.learning_rate, after.beta2, after.gamma) == pytest.approx((4e-5, 0.99, 0.6))
    assert (after.ema_images, after.augment) == (10_000, 0.5)
    assert [cosine(images, 0, 0) for images in (0, 10**9)] == [0, 0]


def test_half_precision_learns_alike_and_keeps_its_scale(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    config = replace(
        TINY, wrong_label_one_attribute=0.0
    )  # losses of few steps are compared: no more chance than there has to be
    fine, rough = (
        Trainer(config, dataset, torch.device("cpu"), Computing(precision)) for precision in ("float32", "float16")
    )
    for step in range(3):
        one, other = fine.step(step), rough.step(step)
    assert one.generator != other.generator
    assert one.generator == pytest.approx(other.generator, abs=0.1)
    again = Trainer(config, dataset, torch.device("cpu"), Computing("float16"))
    again.restore({name: value.clone() for name, value in rough.state().items()})
    assert again.scaler.get_scale() == rough.scaler.get_scale() > 1
    assert vars(again.step(3)) == vars(rough.step(3))
