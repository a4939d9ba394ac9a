"""Combinations that were never trained on: whether a model shows them, and wishes that the data cannot contain."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.evaluation.generating import QUICK, Table, evaluated, fresh, make_dataset, make_subject
from tests.training.making import COLOURS, SHAPES
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.evaluation.combinations import LEAST, TOGETHER, asked
from unikat_training.evaluation.report import markdown
from unikat_training.evaluation.wishes import choose_wishes

UNSEEN = 0.5
RED_SQUARE = (SHAPES.index("square"), COLOURS.index("red"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def unseen_of(data: Dataset) -> list[tuple[int, ...]]:
    unseen = data.split(Shares(test=0.1, unseen=UNSEEN, together=False)).unseen
    assert unseen is not None
    return sorted({tuple(row) for row in unseen.labels.tolist()})


def test_a_model_that_knows_new_combinations_is_told_from_one_that_does_not(
    data: Dataset, cache: Path, tmp_path: Path
) -> None:
    table, new = fresh(600, seed=9), unseen_of(data)
    known = np.array([tuple(row) not in new for row in table.labels.tolist()])
    lacking = Table(table.images[known], table.labels[known])
    shares = {}
    for name, drawn in (("all", table), ("lacking", lacking)):
        subject = make_subject(tmp_path / name, data, drawn, unseen=UNSEEN)
        evaluation, _ = evaluated(subject, data, cache, effort=replace(QUICK, steps=200))
        found = evaluation.combinations
        assert found is not None
        assert (found.over, found.combinations) == (("shape", "colour"), len(new))
        assert [each.attribute for each in found.accuracies] == ["shape", "colour", TOGETHER]
        shares[name] = found.accuracies[-1]
    assert shares["all"].seen > 0.8
    assert shares["all"].real_unseen > 0.6  # the classifier knows them
    assert shares["lacking"].unseen < 0.1  # it draws something of the asked colour or of the asked shape instead
    assert shares["all"].unseen > 0.3 + shares["lacking"].unseen
    # drawn by the same hand as the real ones, they are recognised as often
    assert shares["all"].unseen == pytest.approx(shares["all"].real_unseen, abs=0.15)
    assert f"New combinations: {len(new)} combinations of shape, colour were kept from training" in markdown(evaluation)
    assert "| new combinations of shape, colour, all right |" in markdown(evaluation)


def test_few_held_out_pictures_are_asked_for_again_and_many_are_thinned_out() -> None:
    labels = np.arange(10)[:, None]
    assert len(asked(labels, 10_000)) == LEAST
    assert asked(labels, 4).tolist() == [[0], [3], [6], [9]]
    assert asked(labels, 25)[10:12].tolist() == [[0], [1]]


def test_wishes_are_shown_and_their_share_is_that_of_the_classifier(data: Dataset, cache: Path, tmp_path: Path) -> None:
    without = data.part(~(data.labels == RED_SQUARE).all(axis=1))
    subject = make_subject(tmp_path / "model", without, fresh(600, seed=9))
    evaluation, sheets = evaluated(subject, without, cache)
    (wish,) = evaluation.wishes
    assert (wish.name, wish.labels) == ("square + red", RED_SQUARE)
    assert 0 <= wish.recognised <= 1
    assert (
        Image.open(io.BytesIO(sheets.files["wishes.png"])).size[0] > 12 * 48
    )  # a tile of the sheet for pictures of 16 px
    assert "| square + red | shape, colour |" in markdown(evaluation)


def test_wishes_spread_over_attributes_and_change_as_little_as_possible() -> None:
    # style, colour, glasses: style 0 has no colour 2, style 1 no colour 3, style 2 no glasses
    rows = [(s, c, g) for s in range(3) for c in range(4) for g in range(2)]
    rows = [(s, c, g) for s, c, g in rows if not ((s == 0 and c == 2) or (s == 1 and c == 3) or (s == 2 and g == 1))]
    labels = np.array(rows * 2)
    found = choose_wishes(labels, (3, 4, 2))
    assert [(each.columns, each.cell) for each in found] == [((0, 1), (0, 2)), ((0, 1), (1, 3)), ((0, 2), (2, 1))]
    assert [each.news for each in found] == [1, 1, 1]  # nothing but the wish is new
    assert found == choose_wishes(labels[::-1].copy(), (3, 4, 2))
    assert {each.columns for each in choose_wishes(labels, (3, 4, 2), most=2)} == {(0, 1), (0, 2)}


def test_where_all_pairs_occur_wishes_are_of_three_and_where_all_occurs_there_are_none() -> None:
    rows = np.array([(a, b, c) for a in range(2) for b in range(2) for c in range(2)])
    (wish,) = choose_wishes(rows[:-1], (2, 2, 2))
    assert wish.labels == (1, 1, 1)
    assert choose_wishes(rows, (2, 2, 2)) == []
    assert choose_wishes(rows[:, :1], (2,)) == []
