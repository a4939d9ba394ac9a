"""What is held out of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.making import write_dataset
from unikat_training.data.split import Shares, group_of, places, unseen_rows
from unikat_training.errors import DatasetError


def test_about_the_share_is_held_out_and_always_the_same() -> None:
    items = [f"pictures/{index}.png" for index in range(5000)]
    place = places(items)
    assert 400 < (place < 0.1).sum() < 600  # so a larger share holds out the same ones, and more
    assert (places(items[::-1])[::-1] == place).all()
    assert ((place >= 0) & (place < 1)).all()


def test_skin_tones_of_a_drawing_stay_together() -> None:
    wave = [f"noto/1f44b{tone} waving hand" for tone in ("", "-1f3fb", "-1f3fd", "-1f3ff")]
    assert {group_of(item, together=False) for item in wave} == {"noto/1f44b"}
    assert group_of("noto/1f9d1-1f3fd-200d-1f9bc person", together=False) == "noto/1f9d1-200d-1f9bc"
    assert group_of("twemoji/1f44b waving hand", together=False) != group_of(wave[0], together=False)
    assert group_of("cats/my cat 1.png") == "cats/my cat 1.png"


def test_an_emoji_is_on_one_side_in_all_styles_and_genders() -> None:
    assert group_of("twemoji/1f44b waving hand") == group_of("noto/1f44b-1f3fd waving hand")
    runners = ("1f3c3 runner", "1f3c3-200d-2640 woman", "1f3c3-1f3fb-200d-2642 man")
    assert {group_of(f"noto/{each}") for each in runners} == {"1f3c3"}
    cooks = ("1f9d1-200d-1f373 cook", "1f468-200d-1f373 man", "1f469-1f3fe-200d-1f373 woman")
    assert {group_of(f"blob/{each}") for each in cooks} == {"1f9d1-200d-1f373"}
    assert group_of("noto/1f9d1 person") != group_of("noto/1f9d2 child")


def test_the_parts_of_a_split_have_every_picture_once(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", count=600)
    parts = dataset.split(Shares(test=0.2, validation=0.5, unseen=0.4))
    found = [part for part in vars(parts).values() if part is not None]
    assert len(found) == 4
    assert sum(len(part) for part in found) == 600
    assert set().union(*(part.items for part in found)) == set(dataset.items)
    for part in found:
        assert len(part.one_hots()) == len(part.items) == len(part)
        assert [sum(attribute.counts) for attribute in part.attributes] == [len(part)] * 2
        everywhere = np.arange(len(part))
        assert (part.pixels(everywhere) == dataset.images[part.rows]).all()
        assert [dataset.items[row] for row in part.rows] == list(part.items)


def test_a_small_data_set_is_trained_on_instead_of_validated_with(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", count=200)
    parts, alone = dataset.split(Shares(test=0.2, validation=0.1)), dataset.split(Shares(test=0.2))
    assert parts.validation is None
    assert parts.trained.items == alone.trained.items


def test_no_category_is_held_out_as_a_whole(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", count=60)
    parts = dataset.split(Shares(test=0.95))
    assert parts.test is not None
    assert all(count > 0 for attribute in parts.trained.attributes for count in attribute.counts)


def test_unseen_combinations_are_kept_from_training_as_a_whole(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", count=200)
    parts = dataset.split(Shares(test=0.1, unseen=0.5, unseen_over=("shape", "colour")))
    assert parts.unseen is not None
    unseen, known = ({tuple(row) for row in part.labels} for part in (parts.unseen, parts.trained))
    assert unseen
    assert not unseen & known
    for column in range(2):
        assert {row[column] for row in unseen} <= {row[column] for row in known}
    with pytest.raises(DatasetError, match="unseen_over: \\['size'\\] not among"):
        dataset.split(Shares(unseen=0.1, unseen_over=("size",)))


def test_an_unseen_triple_is_made_of_pairs_that_are_trained_on() -> None:
    labels = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    names = [[f"{attribute}{index}" for index in range(4)] for attribute in "abc"]
    out = unseen_rows(labels, names, 0.3)
    assert 5 < out.sum() < 35
    for pair in ([0, 1], [0, 2], [1, 2]):
        assert {tuple(row) for row in labels[out][:, pair]} <= {tuple(row) for row in labels[~out][:, pair]}
    assert not unseen_rows(labels[:4], names, 1.0).all()


def test_without_a_share_nothing_is_held_out_and_an_empty_part_is_an_error(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", count=20)
    parts = dataset.split(Shares())
    assert len(parts.trained) == 20
    assert (parts.validation, parts.test, parts.unseen) == (None, None, None)
    with pytest.raises(DatasetError, match="nothing is left"):
        dataset.part(np.zeros(20, dtype=np.bool_))
