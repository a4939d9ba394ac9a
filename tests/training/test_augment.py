"""DiffAugment: gradients pass, shares are kept, the same draws give the same images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from unikat_training.augment import NUMBERS, Adaptive, augment, colour, cutout, translate


def random(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed))


def pictures(count: int = 8) -> torch.Tensor:
    return random(count, 3, 16, 16, seed=1) * 2 - 1


@pytest.mark.parametrize(("change", "numbers"), [(colour, 3), (translate, 2), (cutout, 2)])
def test_gradients_reach_the_images(change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], numbers: int) -> None:
    images = pictures().requires_grad_()
    changed = change(images, random(8, numbers))
    torch.autograd.backward((changed**2).sum())
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert (images.grad.flatten(1).abs().sum(dim=1) > 0).all()
    assert not torch.equal(changed, images)


def test_the_gradient_is_that_of_the_function() -> None:
    images = pictures(2)[:, :, :4, :4].double().requires_grad_()
    numbers = random(2, NUMBERS)
    assert torch.autograd.gradcheck(lambda x: augment(x, numbers, 1.0), (images,))


def test_probability_zero_changes_nothing_and_a_half_about_half() -> None:
    images, numbers = pictures(400), random(400, NUMBERS)
    assert augment(images, numbers, 0.0) is images
    untouched = (augment(images, numbers, 0.5) == images).flatten(1).all(dim=1).float().mean()
    assert 0.06 < untouched < 0.22  # three changes: 1/8, and a few of zero strength


def test_an_augmentation_follows_from_its_numbers() -> None:
    images = pictures()
    assert torch.equal(augment(images, random(8, NUMBERS), 0.7), augment(images, random(8, NUMBERS), 0.7))
    assert not torch.equal(augment(images, random(8, NUMBERS), 0.7), augment(images, random(8, NUMBERS, seed=4), 0.7))


def test_every_shift_occurs_and_none_beyond_an_eighth_of_the_side() -> None:
    column = torch.arange(16.0).expand(2_000, 3, 16, 16)  # a pixel's value is its column
    moved = translate(column, random(2_000, 2))[:, 0, 8, 8] - 8
    assert set(moved.tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}


def test_translation_repeats_the_border() -> None:
    images = pictures(64)
    moved = translate(images, random(64, 2))
    for image, source in zip(moved, images, strict=True):
        assert set(image.flatten().tolist()) <= set(source.flatten().tolist())


def test_the_probability_follows_overfitting_within_its_limits() -> None:
    adaptive = Adaptive(target=0.6, images=1000)
    for _ in range(8):
        adaptive.observe(0.9, batch=10, limit=0.5)
    assert adaptive.probability == pytest.approx(0.08)  # 80 of 1,000 images
    for _ in range(100):
        adaptive.observe(0.9, batch=10, limit=0.5)
    assert adaptive.probability == 0.5
    for _ in range(4):
        adaptive.observe(0.1, batch=10, limit=0.5)
    assert adaptive.probability == pytest.approx(0.46)


def test_what_was_observed_between_two_moves_is_remembered() -> None:
    one, other = Adaptive(0.6, 1000), Adaptive(0.6, 1000)
    for value in (0.9, 0.9, 0.1):
        one.observe(value, batch=10, limit=1.0)
    other.restore(one.state())
    one.observe(0.9, batch=10, limit=1.0)
    other.observe(0.9, batch=10, limit=1.0)
    assert one.probability == other.probability == pytest.approx(0.04)
