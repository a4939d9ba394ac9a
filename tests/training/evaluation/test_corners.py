"""Corners of models with alpha."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.generating import SIZE, Table, evaluated, fresh, make_dataset, make_subject
from tests.training.making import write_dataset
from unikat_training.evaluation.corners import measure_corners
from unikat_training.evaluation.headline import headline


def test_a_haze_in_a_corner_is_counted(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", count=400, resolution=SIZE, alpha=True)
    whole = fresh(40, seed=1)
    alpha = np.zeros((40, SIZE, SIZE, 1), dtype=np.uint8)
    alpha[:, 0, 0] = 1  # a level above nothing
    alpha[:, -1, :] = 255
    subject = make_subject(
        tmp_path / "model", data, Table(np.concatenate([whole.images, alpha], axis=-1), whole.labels)
    )
    subject.model.channels = 4
    found = {each.corner: each for each in measure_corners(subject, data)}
    assert {name: each.drawn for name, each in found.items()} == {
        "top left": 0,
        "top right": 1,
        "bottom left": 0,
        "bottom right": 0,
    }
    real = data.layers(np.arange(400))[:, 0, 0, 3]
    assert found["top left"].real == pytest.approx((real == 0).mean())
    evaluation, _ = evaluated(subject, data, tmp_path / "cache")
    assert "| nothing drawn in the corner top right |" in headline(evaluation)


def test_a_model_without_alpha_has_no_corners_to_measure(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data")
    assert measure_corners(make_subject(tmp_path / "model", data, fresh(40, seed=1)), data) == ()
