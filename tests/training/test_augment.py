"""DiffAugment: gradients pass, shares are kept, the same draws give the same images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from unikat_training.augment import Adaptive, Augmentation
from unikat_training.parallel import SharedRandom


def pictures(count: int = 8) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def rng(seed: int = 0) -> SharedRandom:
    return SharedRandom(torch.Generator().manual_seed(seed))


def drawn(images: torch.Tensor, probability: float, seed: int = 0) -> Augmentation:
    augmentation = Augmentation.draw(len(images), images.shape[-1], probability, rng(seed))
    assert augmentation is not None
    return augmentation


@pytest.mark.parametrize("change", [Augmentation.colour, Augmentation.translate, Augmentation.cutout])
def test_gradients_reach_the_images(change: Callable[[Augmentation, torch.Tensor], torch.Tensor]) -> None:
    images = pictures().requires_grad_()
    changed = change(drawn(images, 1.0), images)
    torch.autograd.backward((changed**2).sum())
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert (images.grad.flatten(1).abs().sum(dim=1) > 0).all()
    assert not torch.equal(changed, images)


def test_the_gradient_is_that_of_the_function() -> None:
    images = pictures(2)[:, :, :4, :4].double().requires_grad_()
    assert torch.autograd.gradcheck(drawn(images, 1.0), (images,))


def test_probability_zero_changes_nothing_and_a_half_about_half() -> None:
    images = pictures(400)
    assert Augmentation.draw(400, 16, 0.0, rng()) is None
    untouched = (drawn(images, 0.5)(images) == images).flatten(1).all(dim=1).float().mean()
    assert 0.06 < untouched < 0.22  # three changes: 1/8, and a few of zero strength


def test_an_augmentation_does_the_same_again_and_follows_from_the_generators_state() -> None:
    images = pictures()
    once = drawn(images, 0.7, seed=3)
    assert torch.equal(once(images), once(images))
    assert torch.equal(once(images), drawn(images, 0.7, seed=3)(images))
    assert not torch.equal(once(images), drawn(images, 0.7, seed=4)(images))


def test_translation_repeats_the_border() -> None:
    images = pictures(64)
    moved = drawn(images, 1.0).translate(images)
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
