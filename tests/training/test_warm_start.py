"""What a run takes over from the model that it begins from, tensor by tensor and picture by picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.making import TINY, operation, tiny, write_dataset
from unikat.sampling import latents
from unikat_training.checkpoint import checkpoints, load_checkpoint
from unikat_training.config import Config
from unikat_training.data.dataset import Attribute, Dataset
from unikat_training.layers import over
from unikat_training.loop import train
from unikat_training.state import named, under
from unikat_training.trainer import Trainer
from unikat_training.warm_start.begin import begin_from
from unikat_training.warm_start.conditions import ConditionMap
from unikat_training.warm_start.parent import Parent, parent_from_run
from unikat_training.warm_start.settings import finetune_config
from unikat_training.warm_start.tensors import Start, start_from

CPU = torch.device("cpu")
BLACK = torch.full((1, 3, 1, 1), -1.0)


@pytest.fixture(scope="module")
def parent(conditional_run: Path) -> Parent:
    return parent_from_run(conditional_run)


@pytest.fixture(scope="module")
def plain_parent(plain_run: Path) -> Parent:
    return parent_from_run(plain_run)


def parent_of(folder: Path, config: Config = TINY, **kinds: bool) -> Parent:
    """A run of a few steps on shapes of that kind."""
    train(write_dataset(folder / "shapes", **kinds), folder / "run", config, operation(8))
    return parent_from_run(folder / "run")


def child(parent: Parent, data: Dataset) -> Trainer:
    """What trains on `data` and has not begun."""
    return Trainer(finetune_config(parent, data.resolution, {}), data, CPU)


def start(parent: Parent, data: Dataset) -> Start:
    networks = child(parent, data).networks()
    fresh = {name: value for key, each in networks.items() for name, value in named(key, each).items()}
    return start_from(parent, fresh, data)


def with_attributes(data: Dataset, *attributes: Attribute) -> Dataset:
    """The same pictures with other labels, the first category of each attribute."""
    return replace(data, attributes=attributes, labels=np.zeros((len(data), len(attributes)), dtype=np.int64))


def drawn(trainer: Trainer, condition: Tensor | None) -> Tensor:
    """Images of the averaged generator, (4, 3 or 4, H, H)."""
    repeated = None if condition is None else condition.expand(4, -1)
    with torch.no_grad():
        images: Tensor = trainer.average(torch.from_numpy(latents(1, range(4), trainer.config.latent)), repeated)
    return images


def test_on_the_same_data_everything_is_as_the_parent_has_it(parent: Parent, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "shapes")
    found = start(parent, data)
    assert found.new == []
    assert {name.rpartition(".")[0].partition(".")[0] for name in found.tensors} == {
        "generator", "average", "discriminator", "auxiliary",
    }  # fmt: skip
    for name, value in found.tensors.items():
        old = parent.tensors[name.replace("generator.", "average.", 1)]
        assert torch.equal(value, old), name
    trainer = child(parent, data)
    begin_from(trainer, parent)
    for first, second in zip(trainer.generator.parameters(), trainer.average.parameters(), strict=True):
        assert torch.equal(first, second)


def test_heads_judge_as_the_parents_heads_do(conditional_run: Path, parent: Parent, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "shapes")
    begun, before = child(parent, data), Trainer(TINY, data, CPU)
    begin_from(begun, parent)
    before.restore(load_checkpoint(checkpoints(conditional_run)[-1], CPU)[1])
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    condition = torch.from_numpy(data.one_hots()[:4])
    trainers = (begun, before)
    for trainer in trainers:
        trainer.discriminator.trained.eval()  # in training, spectral norm goes on with each use
    with torch.no_grad():
        one, two = (each.discriminator.trained(each.discriminator.features(images), [condition]) for each in trainers)
    for first, second in zip(one[0], two[0], strict=True):
        assert torch.equal(first, second)


def test_known_categories_keep_their_embedding_and_others_begin_around_the_mean() -> None:
    old = [
        Attribute("shape", "", ("disc", "square"), (30, 10)),
        Attribute("colour", "", ("red", "green", "blue"), (1, 1, 2)),
    ]
    new = [Attribute("size", "", ("small", "large"), (5, 5)), Attribute("colour", "", ("blue", "violet"), (5, 5))]
    embedding = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    shape, colour = embedding[:, :2] @ torch.tensor([0.75, 0.25]), embedding[:, 2:] @ torch.tensor([0.25, 0.25, 0.5])
    conditions = ConditionMap.between(old, new)
    found, own = embedding @ conditions.embedding, embedding @ conditions.own
    assert torch.equal(own[:, 2], embedding[:, 4])
    assert torch.allclose(own[:, 3], colour)
    assert torch.equal(own[:, :2], torch.zeros(7, 2))
    assert torch.allclose(found[:, 2], embedding[:, 4] + shape / 2)  # what the shape added is shared out
    many = [
        *(Attribute("size", "", tuple(map(str, range(4_000))), (1,) * 4_000),),
        Attribute("colour", "", ("x",), (1,)),
    ]
    begun = embedding @ ConditionMap.between(old, many).embedding
    assert torch.allclose(begun[:, :-1].mean(dim=1), shape / 2, atol=0.05)
    apart = embedding[:, 0] - embedding[:, 1]  # the one direction in which shapes differ
    assert torch.allclose(torch.cov(begun[:, :-1]), 0.75 * 0.25 * torch.outer(apart, apart), atol=0.05)
    same = ConditionMap.between(old, old)
    assert torch.equal(same.embedding, torch.eye(5))
    assert torch.equal(same.own, torch.eye(5))


def test_without_labels_a_model_begins_with_the_mean_condition(parent: Parent, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "shapes")
    before, begun = child(parent, data), child(parent, with_attributes(data))
    begin_from(before, parent)
    begin_from(begun, parent)
    nothing, mean = torch.zeros(1, parent.config.latent), ConditionMap.between(parent.attributes, []).mean
    with torch.no_grad():
        wanted = before.average.mapping(nothing, mean[None])
        assert torch.allclose(begun.average.mapping(nothing, None), wanted, atol=1e-5)


@pytest.mark.parametrize("kept", [(), ("colour",)])
def test_what_varied_with_attributes_that_are_gone_varies_with_the_latent(
    parent: Parent, tmp_path: Path, kept: tuple[str, ...]
) -> None:
    attributes = [each for each in parent.attributes if each.name in kept]
    found = start(parent, with_attributes(write_dataset(tmp_path / "shapes"), *attributes)).tensors
    old, latent = parent.tensors["average.mapping.hidden.weight"], parent.config.latent
    added = found["generator.mapping.hidden.weight"][:, :latent] - old[:, :latent]
    rng, columns = np.random.default_rng(0), []
    for each in parent.attributes:
        if each.name in kept:
            columns.append(np.zeros((40_000, len(each.categories)), dtype=np.float32))
        else:
            shares = np.array(each.counts) / sum(each.counts)
            columns.append(np.eye(len(shares), dtype=np.float32)[rng.choice(len(shares), 40_000, p=shares)])
    conditions = torch.from_numpy(np.concatenate(columns, axis=1))
    effect = conditions @ parent.tensors["average.mapping.embed.weight"].T @ old[:, latent:].T  # of conditions, (n, W)
    wanted = torch.cov(effect.T)
    assert torch.allclose(added @ added.T, wanted, atol=0.03 * wanted.diag().max().item())
    assert wanted.diag().max() > 0.05


def test_the_embeddings_of_heads_have_their_largest_singular_value_divided_out(parent: Parent, tmp_path: Path) -> None:
    mood = Attribute("colour", "", ("red", "violet", "blue", "grey"), (60, 0, 0, 0))
    begun = child(parent, with_attributes(write_dataset(tmp_path / "shapes"), mood))
    begin_from(begun, parent)
    begun.discriminator.trained.eval()
    weights = [each.weight for name, each in begun.discriminator.trained.named_modules() if name.endswith("embed")]
    assert len(weights) == 5
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.detach(), 2).item() == pytest.approx(1, abs=1e-4)


def test_the_classifier_keeps_what_it_knows_and_has_no_opinion_of_what_is_new(parent: Parent, tmp_path: Path) -> None:
    attributes = (Attribute("colour", "", ("violet", "green"), (60, 0)), Attribute("mood", "", ("happy",), (60,)))
    found = start(parent, with_attributes(write_dataset(tmp_path / "shapes"), *attributes)).tensors
    old, new = parent.tensors["auxiliary.to_logits.weight"], found["auxiliary.to_logits.weight"]
    assert torch.equal(new[1], old[2 + 1])
    assert torch.count_nonzero(new[2]) == 0
    counts = torch.tensor(parent.attributes[1].counts, dtype=torch.float32)
    assert torch.allclose(new[0], counts / counts.sum() @ old[2:], atol=1e-6)


@pytest.mark.parametrize("resolution", [32, 64])
def test_at_a_larger_size_the_stages_below_it_are_kept(parent: Parent, tmp_path: Path, resolution: int) -> None:
    data = write_dataset(tmp_path / "shapes", count=40, resolution=resolution)
    config = finetune_config(parent, resolution, {})
    assert (config.width, config.feature_size) == (4 * 16 // resolution, max(32, resolution))
    found = start(parent, data)
    kept = {name.removeprefix("generator.") for name in found.kept if name.startswith("generator.")}
    assert {"start.weight", "ups.0.conv.weight", "ups.1.conv.weight", "refines.0.conv.weight"} <= kept
    new = {name for name in found.new if name.startswith("generator.")}
    assert "generator.to_rgb.weight" in new
    assert all(name.split(".")[1] in ("ups", "refines", "skips", "to_rgb") for name in new)
    begin_from(child(parent, data), parent)


def test_at_a_smaller_size_the_stages_up_to_it_are_kept(tmp_path: Path) -> None:
    larger = parent_of(tmp_path, replace(TINY, width=2), count=40, resolution=32)  # type: ignore[arg-type]  # numbers
    data = write_dataset(tmp_path / "small")
    found = start(larger, data)
    assert [name for name in found.new if name.startswith("generator.") and "to_rgb" not in name] == []


def test_colours_stay_when_alpha_comes_and_when_it_goes(parent: Parent, tmp_path: Path) -> None:
    opaque, layers = write_dataset(tmp_path / "opaque"), write_dataset(tmp_path / "layers", alpha=True)
    condition = torch.from_numpy(opaque.one_hots()[0])
    before, with_alpha = child(parent, opaque), child(parent, layers)
    begin_from(before, parent)
    begin_from(with_alpha, parent)
    images = drawn(with_alpha, condition)
    assert images.shape[1] == 4
    assert torch.equal(images[:, 3], torch.ones_like(images[:, 3]))
    assert torch.allclose(over(images, BLACK), drawn(before, condition), atol=1e-5)
    transparent = parent_of(tmp_path / "parent", alpha=True)
    without, kept = child(transparent, opaque), child(transparent, layers)
    begin_from(without, transparent)
    begin_from(kept, transparent)
    assert torch.allclose(drawn(without, condition), drawn(kept, condition)[:, :3], atol=1e-5)


def test_a_parent_without_conditions_draws_the_same_whatever_is_asked_for(plain_parent: Parent, tmp_path: Path) -> None:
    plain, labelled = write_dataset(tmp_path / "plain", plain=True), write_dataset(tmp_path / "shapes")
    before, begun = child(plain_parent, plain), child(plain_parent, labelled)
    begin_from(before, plain_parent)
    begin_from(begun, plain_parent)
    for row in labelled.one_hots()[:3]:
        assert torch.allclose(drawn(begun, torch.from_numpy(row)), drawn(before, None), atol=1e-5)


@pytest.mark.parametrize("preset", ["r3gan", "dcgan", "plain-gan"])
def test_networks_of_every_preset_go_on(tmp_path: Path, preset: str) -> None:
    before = parent_of(tmp_path, tiny(preset))
    for name, data in (
        ("same", write_dataset(tmp_path / "same")),
        ("unlabelled", write_dataset(tmp_path / "unlabelled", plain=True)),
        ("larger", write_dataset(tmp_path / "larger", count=40, resolution=32)),
        ("alpha", write_dataset(tmp_path / "alpha", alpha=True)),
    ):
        config = finetune_config(before, data.resolution, {"batch": 4})
        assert (config.loss, config.gamma) == (before.config.loss, before.config.gamma)
        if (preset, name) == ("plain-gan", "larger"):
            continue  # its last layer is all pixels at once, its first none
        train(data, tmp_path / f"run-{name}", config, operation(8), before)
    found = start(before, write_dataset(tmp_path / "again"))
    assert found.new == []
    assert under("generator.", found.tensors).keys() == under("average.", found.tensors).keys()
