from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.vectors import build
from unikat.sampling import (
    ATANH,
    CENTRE,
    LN2,
    MAX_ATTEMPT,
    MAX_SEED,
    MIDDLE,
    Purpose,
    condition_uniforms,
    latents,
    latents_and_uniforms,
    normals,
    philox,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "latents.json").read_text(encoding="utf-8"))
SEEDS = st.integers(0, MAX_SEED)
INDICES = st.integers(0, 2**40)
WORDS = st.integers(0, 2**32 - 1)
ROWS = st.lists(st.tuples(SEEDS, INDICES), min_size=1, max_size=5)
ENDS = [0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
BOUNDS = [round(u * 2**32) + step for u in (0.075, 0.925) for step in range(-3, 4)]  # of the two formulas


def philox_in_plain_integers(counter: list[int], key: list[int]) -> list[int]:
    """The definition of docs/sampling.md, word for word."""
    for _ in range(10):
        low, high = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (high >> 32) ^ counter[1] ^ key[0],
            high & 0xFFFFFFFF,
            (low >> 32) ^ counter[3] ^ key[1],
            low & 0xFFFFFFFF,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


def normal_in_plain_floats(word: int) -> float:
    """The definition of docs/sampling.md, word for word."""
    u = (word + 0.5) / 2**32
    q = u - 0.5
    if abs(q) <= 0.425:
        return q * ratio(CENTRE, 0.180625 - q * q)
    m, e = math.frexp(min(u, 1 - u))
    if m < 0.7071067811865476:
        m, e = m * 2, e - 1
    f = (m - 1) / (m + 1)
    r = math.sqrt(-(e * LN2 + 2 * f * polynomial(ATANH, f * f)))
    assert r <= 5  # AS 241 has another table beyond
    return math.copysign(ratio(MIDDLE, r - 1.6), q)


def ratio(table: tuple[tuple[float, ...], tuple[float, ...]], x: float) -> float:
    return polynomial(table[0], x) / polynomial(table[1], x)


def polynomial(coefficients: tuple[float, ...], x: float) -> float:
    total = 0.0
    for coefficient in coefficients:
        total = total * x + coefficient
    return total


def test_the_frozen_vectors_still_come_out_bit_for_bit() -> None:
    assert build() == VECTORS


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # known answers of the Random123 distribution (philox4x32 10)
        ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_the_plain_definition_gives_the_published_answers(counter: list[int], key: list[int], words: list[int]) -> None:
    assert philox_in_plain_integers(counter, key) == words


@given(SEEDS, INDICES, st.sampled_from(Purpose))
def test_philox_agrees_with_its_plain_definition(seed: int, index: int, purpose: Purpose) -> None:
    words = philox(seed, [index], purpose, blocks=2)[0].tolist()
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for block in range(2):
        counter = [block, index & 0xFFFFFFFF, index >> 32, int(purpose)]
        assert words[4 * block : 4 * block + 4] == philox_in_plain_integers(counter, key)


@given(SEEDS, INDICES, st.integers(1, MAX_ATTEMPT))
def test_a_later_attempt_has_bits_of_its_own(seed: int, index: int, attempt: int) -> None:
    words = philox_in_plain_integers(
        [0, index & 0xFFFFFFFF, index >> 32, 256 * attempt], [seed & 0xFFFFFFFF, seed >> 32]
    )
    expected = np.array([normal_in_plain_floats(word) for word in words], np.float32)
    assert latents(seed, [index], 4, attempt)[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize("attempt", [-1, MAX_ATTEMPT + 1])
def test_an_attempt_that_there_is_not_is_refused(attempt: int) -> None:
    with pytest.raises(ValueError, match="attempt: must be 0 to 8"):
        latents(0, [0], 4, attempt)


@given(SEEDS, st.lists(INDICES, min_size=1, max_size=5), st.integers(1, 9))
def test_a_latent_does_not_depend_on_its_neighbours(seed: int, indices: list[int], size: int) -> None:
    together = latents(seed, indices, size)
    for row, index in enumerate(indices):
        assert together[row].tobytes() == latents(seed, [index], size)[0].tobytes()


@given(ROWS)
def test_rows_of_different_seeds_are_what_each_seed_gives(rows: list[tuple[int, int]]) -> None:
    together = latents([seed for seed, _ in rows], [index for _, index in rows], 6)
    assert together.tobytes() == b"".join(latents(seed, [index], 6).tobytes() for seed, index in rows)


@given(SEEDS, INDICES, st.integers(1, 20))
def test_a_longer_latent_begins_with_the_shorter_one(seed: int, index: int, size: int) -> None:
    assert latents(seed, [index], 20)[0, :size].tobytes() == latents(seed, [index], size)[0].tobytes()


@given(ROWS, st.integers(1, 9))
def test_one_pass_gives_the_latents_and_the_uniforms_of_the_conditions(rows: list[tuple[int, int]], size: int) -> None:
    seeds, indices = [seed for seed, _ in rows], [index for _, index in rows]
    together, uniforms = latents_and_uniforms(seeds, indices, size)
    assert together.tobytes() == latents(seeds, indices, size).tobytes()
    assert uniforms == condition_uniforms(seeds, indices)
    for (seed, index), uniform in zip(rows, uniforms, strict=True):
        first, second = philox(seed, [index], Purpose.CONDITIONS, blocks=1)[0, :2].tolist()
        assert uniform == ((first >> 5) * 2.0**26 + (second >> 6) + 0.5) / 2.0**53


@given(st.lists(WORDS, min_size=1, max_size=40))
def test_normals_agree_bit_for_bit_with_their_plain_definition(words: list[int]) -> None:
    found = normals(np.array(words, dtype=np.uint64)).tolist()
    assert [value.hex() for value in found] == [normal_in_plain_floats(word).hex() for word in words]


def test_normals_agree_with_their_plain_definition_where_formulas_meet_and_at_the_ends() -> None:
    around_halves = [round(2**k * 0.5**0.5) + step for k in range(1, 33) for step in (-1, 0, 1)]  # of the logarithm
    words = [*ENDS, *BOUNDS, *around_halves]
    found = normals(np.array([words], dtype=np.uint64))
    assert found.shape == (1, len(words))
    assert found[0].tolist() == [normal_in_plain_floats(word) for word in words]


def test_no_word_needs_the_third_table_of_the_normal_formula() -> None:
    # r falls as u grows, and no u of 32 bits (nor 1 - u) is smaller than that of word 0
    assert math.sqrt(-math.log(0.5 / 2**32)) < 4.79
    assert abs(normal_in_plain_floats(0)) == normal_in_plain_floats(2**32 - 1)
    assert normal_in_plain_floats(2**32 - 1) == pytest.approx(NormalDist().inv_cdf(1 - 2.0**-33), rel=1e-14)


def test_the_normal_formula_is_the_inverse_of_the_normal_distribution() -> None:
    inside = philox(3, range(500), Purpose.LATENT, 4).ravel().tolist()
    words = [*ENDS, *BOUNDS, *inside]
    for word, value in zip(words, normals(np.array(words, dtype=np.uint64)).tolist(), strict=True):
        assert value == pytest.approx(NormalDist().inv_cdf((word + 0.5) / 2**32), rel=2e-15, abs=1e-15)


def test_latents_are_normal_and_independent() -> None:
    values = latents(11, range(20_000), 16).astype(np.float64)
    assert abs(values.mean()) < 4 / np.sqrt(values.size)
    assert abs(values.var() - 1) < 4 * np.sqrt(2 / values.size)
    correlation = np.corrcoef(values.T) - np.eye(16)
    assert np.abs(correlation).max() < 5 / np.sqrt(len(values))
    neighbours = np.corrcoef(values[:-1, 0], values[1:, 0])[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(len(values))


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_outside_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="seed: must be 0 to 18446744073709551615"):
        latents(seed, [0], 4)


def test_no_images_are_no_rows() -> None:
    assert latents(1, [], 5).shape == latents([], [], 5).shape == (0, 5)


def test_an_empty_latent_is_refused() -> None:
    with pytest.raises(ValueError, match="size: must be at least 1"):
        latents(0, [0], 0)
