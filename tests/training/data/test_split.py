"""What is held out of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.making import write_dataset
from unikat_training.data.fields import DatasetError
from unikat_training.data.split import group_of, held_out


def test_about_the_share_is_held_out_and_always_the_same() -> None:
    items = [f"pictures/{index}.png" for index in range(5000)]
    out = held_out(items, 0.1)
    assert 400 < out.sum() < 600
    assert (held_out(items[::-1], 0.1)[::-1] == out).all()
    assert (out <= held_out(items, 0.2)).all()  # a larger share holds out the same ones, and more
    assert not held_out(items, 0.0).any()


def test_skin_tones_of_a_drawing_stay_together() -> None:
    wave = [f"noto/1f44b{tone} waving hand" for tone in ("", "-1f3fb", "-1f3fd", "-1f3ff")]
    assert {group_of(item) for item in wave} == {"noto/1f44b"}
    assert group_of("noto/1f9d1-1f3fd-200d-1f9bc person") == "noto/1f9d1-200d-1f9bc"
    assert group_of("twemoji/1f44b waving hand") != group_of(wave[0])
    assert group_of("cats/my cat 1.png") == "cats/my cat 1.png"


def test_the_parts_of_a_split_have_every_picture_once(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", count=200)
    trained, out = dataset.split(0.2)
    assert out is not None
    assert len(trained) + len(out) == 200
    assert set(trained.items) | set(out.items) == set(dataset.items)
    for part in (trained, out):
        assert len(part.one_hots()) == len(part.items) == len(part)
        assert [sum(attribute.counts) for attribute in part.attributes] == [len(part)] * 2
        everywhere = np.arange(len(part))
        assert (part.pixels(everywhere) == dataset.images[part.rows]).all()
        assert [dataset.items[row] for row in part.rows] == list(part.items)


def test_no_category_is_held_out_as_a_whole(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", count=60)
    trained, out = dataset.split(0.95)
    assert out is not None
    assert all(count > 0 for attribute in trained.attributes for count in attribute.counts)


def test_without_a_share_nothing_is_held_out_and_an_empty_part_is_an_error(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", count=20)
    trained, out = dataset.split(0.0)
    assert len(trained) == 20
    assert out is None
    with pytest.raises(DatasetError, match="nothing is left"):
        dataset.part(np.zeros(20, dtype=np.bool_))
