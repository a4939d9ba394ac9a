"""Conditions as the networks see them while they are trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tests.training.making import TINY, write_dataset
from training.trainer import Trainer


def trainer(path: Path, dropout: float) -> Trainer:
    return Trainer(replace(TINY, condition_dropout=dropout), write_dataset(path), torch.device("cpu"))


def test_attributes_are_left_out_one_by_one_and_about_as_often_as_asked(tmp_path: Path) -> None:
    subject = trainer(tmp_path / "data", dropout=0.25)
    labels = torch.from_numpy(subject.dataset.one_hots()).repeat(40, 1)
    shown = subject.shown(labels)
    assert shown is not None
    left_out = torch.stack([shown[:, :2].sum(1) == 0, shown[:, 2:].sum(1) == 0], dim=1)
    assert torch.equal(shown * labels, shown)
    assert ((left_out.float().mean(0) - 0.25).abs() < 0.05).all()
    assert 0.03 < left_out.all(1).float().mean() < 0.1


def test_without_dropout_conditions_are_complete(tmp_path: Path) -> None:
    subject = trainer(tmp_path / "data", dropout=0.0)
    labels = torch.from_numpy(subject.dataset.one_hots())
    assert subject.shown(labels) is labels


def test_a_condition_that_is_true_of_an_image_is_no_mismatch(tmp_path: Path) -> None:
    subject = trainer(tmp_path / "data", dropout=0.0)
    images, _ = subject.real_batch(0)
    maps = subject.projection(images)
    red, blue = torch.tensor([[1.0, 0, 1, 0, 0]] * 4), torch.tensor([[1.0, 0, 0, 0, 1]] * 4)
    anything = torch.zeros(4, 5)
    with torch.no_grad():
        assert float(subject.mismatch(maps, red, red)) == 0
        assert float(subject.mismatch(maps, anything, red)) == 0
        assert float(subject.mismatch(maps, blue, red)) > 0
