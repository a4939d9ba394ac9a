"""Conditions as the networks see them while they are trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.training.making import TINY, write_dataset
from unikat_training.batches import Batches, differing
from unikat_training.config import Config
from unikat_training.schedules import line
from unikat_training.trainer import Trainer


def batches(path: Path, config: Config) -> Batches:
    return Batches(config, write_dataset(path), torch.Generator().manual_seed(0))


def test_attributes_are_left_out_one_by_one_and_about_as_often_as_asked(tmp_path: Path) -> None:
    subject = batches(tmp_path / "data", replace(TINY, condition_dropout=0.25))
    labels = subject.conditions.repeat(40, 1)
    shown = subject.shown(labels)
    assert shown is not None
    left_out = torch.stack([shown[:, :2].sum(1) == 0, shown[:, 2:].sum(1) == 0], dim=1)
    assert torch.equal(shown * labels, shown)
    assert ((left_out.float().mean(0) - 0.25).abs() < 0.05).all()
    assert 0.03 < left_out.all(1).float().mean() < 0.1


def test_without_dropout_conditions_are_complete(tmp_path: Path) -> None:
    subject = batches(tmp_path / "data", replace(TINY, condition_dropout=0.0))
    assert subject.shown(subject.conditions) is subject.conditions


def test_a_condition_that_is_true_of_an_image_is_no_wrong_label() -> None:
    red, blue = torch.tensor([[1.0, 0, 1, 0, 0]]), torch.tensor([[1.0, 0, 0, 0, 1]])
    conditions = torch.cat([red, torch.zeros(1, 5), blue])
    assert differing(conditions, red.expand(3, -1)).flatten().tolist() == [0, 0, 1]


def test_only_conditions_that_differ_count_as_wrong_labels(tmp_path: Path) -> None:
    subject = Trainer(replace(TINY, condition_dropout=0.0), write_dataset(tmp_path / "data"), torch.device("cpu"))
    part = subject.batches.of_step(0, strength=1.0)
    maps = subject.discriminator.features(part.real)
    with torch.no_grad():
        (right,) = subject.discriminator.trained(maps, [part.condition])
        assert float(subject.wrong_label_loss(replace(part, differs=torch.zeros(4, 1)), maps, right)) == 0
        assert float(subject.wrong_label_loss(replace(part, differs=torch.ones(4, 1)), maps, right)) > 0


def test_a_share_of_the_wrong_conditions_is_wrong_in_one_attribute_only(tmp_path: Path) -> None:
    attributes = [slice(0, 2), slice(2, 5)]
    for share in (0.0, 0.5, 1.0):
        subject = batches(tmp_path / f"data-{share}", replace(TINY, wrong_label_one_attribute=share))
        own = torch.eye(5)[[0, 1] * 200] + torch.eye(5)[[2, 3] * 200]  # neighbours differ in both attributes
        wrong = subject.wrong(own)
        changed = torch.stack([(wrong[:, of] != own[:, of]).any(1) for of in attributes], dim=1)
        others = torch.stack([(wrong[:, of] == own.roll(1, 0)[:, of]).all(1) for of in attributes], dim=1)
        assert torch.equal(changed, others), "an attribute is wholly its own or wholly another's"
        assert changed.any(1).all()
        single = changed.sum(1) == 1
        assert abs(float(single.float().mean()) - share) < 0.1
        if share:  # every attribute has its turn
            assert (changed[single].float().mean(0) > 0.3).all()


def test_the_ramp_leads_from_no_condition_to_the_whole(tmp_path: Path) -> None:
    assert [line(images, 10, 30) for images in (0, 10, 20, 30, 99)] == [0, 0, 0.5, 1, 1]
    assert line(0, 0, 0) == 1  # no ramp: always
    subject = batches(tmp_path / "data", replace(TINY, condition_dropout=0.0))
    for strength in (0.0, 0.5, 1.0):
        part = subject.of_step(0, strength)
        assert part.condition is not None
        assert part.differs is not None
        assert part.condition.sum(dim=1).tolist() == [2 * strength] * 4
        assert part.differs.max() == strength  # what has no effect must not be told apart
