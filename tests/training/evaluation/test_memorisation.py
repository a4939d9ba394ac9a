"""Copies are found: by distances, by ranks, and by perceptual hashes."""

from __future__ import annotations

import imagehash
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from unikat_training.evaluation.extractors import Pixels
from unikat_training.evaluation.hashing import OFFSETS, Hashes, hashes, near_copies
from unikat_training.evaluation.material import HASHES, Pictures
from unikat_training.evaluation.memorisation import Memorisation, Neighbours, jittered, memorised, rank_test
from unikat_training.evaluation.neighbours import Floats


def points(seed: int, count: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)


def random_hashes(rng: np.random.Generator, count: int) -> Hashes:
    return rng.integers(0, 256, (count, len(OFFSETS), 32), dtype=np.uint8)


def figures(generated: Floats) -> Memorisation:
    rng = np.random.default_rng(0)
    training = Pictures({"points": points(1, 500), HASHES: random_hashes(rng, 500)}, np.zeros((500, 0), dtype=np.int64))
    test, found = (Neighbours.of(each, training.main) for each in (points(2, 300), generated))
    return memorised(found, random_hashes(rng, len(generated)), test, training)


def bits(found: Hashes) -> npt.NDArray[np.bool_]:
    return np.unpackbits(found, axis=2).astype(np.bool_)


def test_new_pictures_are_as_far_from_training_as_test_pictures() -> None:
    found = figures(points(3, 400))
    assert found.close == pytest.approx(0.05, abs=0.04)
    assert found.farther == pytest.approx(0.5, abs=0.06)
    assert abs(found.z) < 3
    assert found.near_copies == 0


def test_copies_are_closer_than_any_test_picture() -> None:
    found = figures(points(1, 500)[:200] + np.float32(1e-4))
    assert found.close == 1
    assert found.farther == 0
    assert found.z < -10
    assert found.authentic == 0


def test_a_model_that_copies_now_and_then_is_found_by_the_share_of_close_pictures() -> None:
    mixture = np.concatenate([points(3, 320), points(1, 500)[:80]])
    assert figures(mixture).close > 0.2


def test_ranks_are_those_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(0.2, 1, 80).round(1), rng.normal(0, 1, 80).round(1)  # rounded: with ties
    larger, z = rank_test(ours, theirs)
    expected = ((ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs)).mean()
    assert larger == pytest.approx(expected)
    assert z == pytest.approx((expected - 0.5) / np.sqrt((160 + 1) / (12 * 80 * 80)))


def blotches(count: int) -> Pixels:
    """Pictures of coloured blotches, all different."""
    noise = np.random.default_rng(1).integers(0, 256, (count, 18, 18, 3), "uint8")
    return np.stack([np.asarray(Image.fromarray(each).resize((32, 32))) for each in noise])


def test_hashes_are_those_of_the_library_imagehash() -> None:
    pictures = blotches(30)
    expected = [imagehash.phash(Image.fromarray(p), hash_size=16).hash.ravel() for p in pictures]
    assert (
        bits(hashes(pictures))[:, 0] != np.stack(expected)
    ).mean() < 1e-3  # sums may round differently at the median


def test_a_slightly_changed_picture_is_a_near_copy_and_another_one_is_not() -> None:
    pictures = blotches(40)
    noise = np.random.default_rng(2).integers(-3, 4, (10, 32, 32, 3))
    changed = (pictures[:10].astype(int) + noise).clip(0, 255).astype(np.uint8)
    known = hashes(pictures)
    assert near_copies(hashes(changed), known) == 1
    assert near_copies(known[:10], known[10:]) == 0


def test_a_moved_hash_is_that_of_the_moved_picture() -> None:
    pictures = blotches(4).repeat(2, axis=1).repeat(2, axis=2)  # as large as what is transformed
    places = np.clip(np.arange(64) - 2, 0, 63)
    moved = bits(hashes(pictures))[:, OFFSETS.index((-2, 0))]
    assert (moved != bits(hashes(pictures[:, places]))[:, 0]).mean() < 0.01


def test_slightly_jittered_pictures_are_near_copies_and_change_by_no_more_than_they_say() -> None:
    pictures = blotches(200)
    changed = jittered(pictures, seed=0)
    assert near_copies(hashes(changed), hashes(pictures)) > 0.9
    assert near_copies(hashes(changed[:100]), hashes(pictures[100:])) == 0
    np.testing.assert_array_equal(changed, jittered(pictures, seed=0))
    moves = [np.roll(pictures[0].astype(int), (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    inside = np.s_[1:-1, 1:-1]  # rolling brings in the other side
    assert min(abs(changed[0][inside] - move[inside]).max() for move in moves) <= 9
