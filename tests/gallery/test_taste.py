"""A taste that is learnt from pairs proposes works that are liked more; the drawings are a model's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.provenance.pictures import drawings
from tests.support.tastes import Person, learnt, likes
from unikat_gallery.votes.ranking import Choice, rank
from unikat_gallery.votes.taste import SIZE, UNIT, Features, Taste, choose, features, variety

Pixels = npt.NDArray[np.uint8]

POOL, PLACES, CANDIDATES = 200, 16, 8


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.concatenate(list(drawings("emoji", 5, POOL + PLACES * CANDIDATES)))


@pytest.fixture(scope="module")
def found(pixels: Pixels) -> Features:
    return features(pixels)


def test_ten_people_like_what_is_proposed_to_them_more(pixels: Pixels, found: Features) -> None:
    """`python -m benchmarks taste` measures how much, for more people, models, pairs and candidates."""
    candidates = POOL + np.arange(PLACES * CANDIDATES).reshape(PLACES, CANDIDATES)
    liked, kept = [], []
    for number in range(10):
        worth = Person.number(number).worth(pixels)
        taste = learnt(found[:POOL], worth[:POOL], 60, np.random.default_rng(number))
        chosen = choose(taste, found[candidates])
        wall = worth[candidates[np.arange(PLACES), chosen.places]]
        liked.append(float(likes(wall[:, None], worth[POOL:]).mean()))
        kept.append(chosen.variety / chosen.plain_variety)
    assert np.mean(liked) > 0.62
    assert sum(each > 0.5 for each in liked) >= 9
    assert 0.7 < np.mean(kept) < 1.0


def test_the_cost_in_variety_is_seen(found: Features) -> None:
    """A taste for one thing alone, brightness, takes works that are more alike than drawn ones."""
    chosen = choose(Taste(np.where(np.arange(SIZE) < 64, 1000, 0)), found[:POOL].reshape(-1, CANDIDATES, SIZE))
    assert chosen.variety < 0.9 * chosen.plain_variety
    assert chosen.preferred > 0.5


def test_nobodys_taste_proposes_what_would_be_drawn_anyway(found: Features) -> None:
    nobody = Taste.learn(found[:0], found[:0])
    chosen = choose(nobody, found[:POOL].reshape(-1, CANDIDATES, SIZE))
    assert not chosen.places.any()
    assert chosen.preferred == 0.5


def test_a_wall_can_be_chosen_again_from_its_pictures_and_weights(pixels: Pixels, found: Features) -> None:
    """In any batch, of a taste that was written and read: whole numbers do not depend on how they are added."""
    taste = Taste.learn(found[:30], found[30:60])
    again = Taste(np.array([int(text) for text in " ".join(map(str, taste.weights)).split()], dtype=np.int64))
    alone = np.concatenate([features(pixels[i : i + 1]) for i in range(POOL)])
    first = choose(taste, found[:POOL].reshape(-1, CANDIDATES, SIZE))
    assert again.digest == taste.digest
    assert (choose(again, alone.reshape(-1, CANDIDATES, SIZE)).places == first.places).all()
    assert first.places.any()


def test_features_are_whole_numbers_of_the_picture_on_white_at_any_size(pixels: Pixels, found: Features) -> None:
    assert found.shape == (len(pixels), SIZE)
    assert found.dtype == np.int32
    opaque = np.concatenate([pixels[:2], np.full((2, 32, 32, 1), 255, np.uint8)], axis=3)
    clear = np.concatenate([pixels[:2], np.zeros((2, 32, 32, 1), np.uint8)], axis=3)
    assert (features(opaque) == found[:2]).all()
    assert (features(clear) == features(np.full((1, 32, 32, 3), 255, np.uint8))).all()
    larger = pixels[:2].repeat(4, axis=1).repeat(4, axis=2)
    assert np.abs(features(larger)[:, :64] - found[:2, :64]).max() <= 1


def test_on_features_of_one_thing_each_the_model_is_the_ranking(found: Features) -> None:
    """The taste's model is Bradley–Terry: with a feature for each entry its weights are the ranking's strengths."""
    random = np.random.default_rng(0)
    truth = np.array([-0.6, -0.1, 0.2, 0.5])
    choices = []
    for _ in range(3000):
        first, second = (int(each) for each in random.choice(4, 2, replace=False))
        is_first = random.random() < likes(truth[first], truth[second])
        choices.append(Choice(0, *((first, second) if is_first else (second, first))))
    entries = np.zeros((4, SIZE), np.int32)
    entries[np.arange(4), np.arange(4)] = 64 * 20  # so large that the prior tells nothing
    taste = Taste.learn(entries[[c.winner for c in choices]], entries[[c.loser for c in choices]])
    assert taste.scores(entries) * UNIT == pytest.approx(rank(4, choices).strengths, abs=0.01)


def test_pairs_of_other_features_are_refused(found: Features) -> None:
    with pytest.raises(ValueError, match=rf"liked, other: must be \(V, {SIZE}\) both"):
        Taste.learn(found[:3], found[:4])
    assert variety(found[:1]) == 0.0
