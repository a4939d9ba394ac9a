"""The canonical form of recipes: properties over random ones, and vectors that another language can compare with."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.recipes import CASES, SIZE, TARGET, computed
from unikat.identity import artwork_digest
from unikat.recipes.artwork import ArtworkRecipe, parse_link
from unikat.recipes.latents import mix_latents
from unikat.recipes.messages import mix_of_message, recipe_message
from unikat.recipes.mix import Base, Mix, between, float32, mix_of, mutated
from unikat.recipes.sequence import Mutations, Walk, sequence_from_json, way_problem
from unikat.recipes.text import parse_mix, text_of, vector_bytes, vector_numbers
from unikat.sampling import latents


def random_mix(seed: int) -> Mix:
    """The canonical form of what anybody may ask for: equal points, large and tiny weights, vectors, shifts.

    Drawn by NumPy from hypothesis' numbers: hypothesis' own lists of floats take a hundred times as long.
    """
    rng = np.random.default_rng(seed)
    points: list[tuple[Base, float]] = [((int(rng.integers(3)), int(rng.integers(3))), 1.5)]
    for _ in range(rng.integers(8)):
        base: Base = (int(rng.integers(2**63)) * 2 + 1, int(rng.integers(2**32)))
        if rng.random() < 0.4:
            base = (int(rng.integers(3)), int(rng.integers(3)))
        elif rng.random() < 0.2:
            base = vector_bytes(rng.normal(size=SIZE).astype(np.float32).tolist())
        points.append((base, float(rng.normal() * 10.0 ** rng.integers(-9, 6))))
    shifts = [(str(rng.choice(["1", "2", "smile"])), float(rng.normal() * 9)) for _ in range(rng.integers(4))]
    try:
        return mix_of(points, shifts)
    except ValueError:
        return mix_of([((7, 3), 1.0)])


seeds = st.integers(0, 2**32)
mixes = seeds.map(random_mix)
places = st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 2), st.integers(0, 2**32 - 1) | st.integers(0, 2))


@settings(max_examples=1000, deadline=None)
@given(mixes)
def test_the_canonical_form_of_a_canonical_form_is_itself_to_the_bit(mix: Mix) -> None:
    assert mix_of(mix.points, mix.shifts) == mix
    assert parse_mix(text_of(mix)) == mix
    assert mix_of_message(recipe_message(mix)) == mix
    assert abs(math.fsum(weight**2 for _, weight in mix.points) - 1) <= 2**-22
    assert all(float32(weight) == weight != 0 for _, weight in mix.points)
    link = ArtworkRecipe(
        "tiny@1", mix, {"style": {"ink": 0.5, "oil": 0.5}, "recipe": "é & ü"}, 0.5, "#ffffff80", 3
    ).link
    assert parse_link(link).mix == mix
    assert parse_link(link).link == link


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_the_order_in_which_points_are_named_does_not_count(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points: list[tuple[Base, float]] = [((0, int(rng.integers(3))), float(rng.normal())) for _ in range(6)]
    turned = [points[i] for i in rng.permutation(6)]
    assert mix_of(turned) == mix_of(points)


@settings(max_examples=100, deadline=None)
@given(mixes, st.floats(0, 1), places)
def test_mutations_stay_canonical_from_the_parent_to_a_stranger(
    mix: Mix, radius: float, fresh: tuple[int, int]
) -> None:
    assert mutated(mix, 0.0, fresh) == mix
    assert mutated(mix, 1.0, fresh).points == ((fresh, 1.0),)
    try:
        child = mutated(mix, radius, fresh)
    except ValueError:
        assert fresh in dict(mix.points)
        return
    assert mix_of(child.points, child.shifts) == child
    sequence = Mutations(mix, radius, fresh[0])
    assert sequence_from_json(json.loads(json.dumps(sequence.to_json()))) == sequence or not radius


@settings(max_examples=50, deadline=None)
@given(mixes, mixes, st.integers(2, 40), st.booleans(), st.booleans())
def test_every_frame_of_a_walk_is_a_recipe(one: Mix, other: Mix, frames: int, loop: bool, smooth: bool) -> None:
    if way_problem(one, other):
        return
    walk = Walk((one, other), frames, loop, smooth)
    drawn = [walk.at(frame) for frame in range(frames)]
    assert all(mix_of(mix.points, mix.shifts) == mix for mix in drawn)
    assert drawn[0] == one
    assert loop or drawn[-1] == other
    assert sequence_from_json(json.loads(json.dumps(walk.to_json()))) == walk


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_the_work_is_in_the_middle_of_its_way_along_a_direction(seed: int) -> None:
    mix = mix_of(random_mix(seed).points)
    ends = [mix_of(mix.points, [("smile", by)]) for by in (-1.5, 1.5)]
    assert Walk(tuple(ends), 5).at(2) == mix


def test_a_walk_between_two_points_is_an_arc_at_constant_speed() -> None:
    one, other = mix_of([((7, 0), 1.0)]), mix_of([((9, 3), 1.0)])
    for share in np.linspace(0.01, 0.99, 50).tolist():
        (_, first), (_, second) = between(one, other, share).points
        assert math.atan2(second, first) == pytest.approx(share * math.pi / 2, abs=2e-6)


def test_a_latent_is_the_weighted_sum_and_stays_a_standard_normal() -> None:
    mix = mix_of([((7, 3), 3.0), ((9, 0), 4.0)], [("1", 1.5)])
    direction = np.eye(SIZE, dtype=np.float32)[0]
    (found,) = mix_latents([mix], SIZE, {"1": direction})
    expected = 0.6 * latents(7, [3], SIZE)[0] + 0.8 * latents(9, [0], SIZE)[0] + 1.5 * direction
    assert found == pytest.approx(expected, abs=1e-6)
    many = mix_latents([mix_of([((1, i), 1.0), ((2, i), -2.0), ((3, i), 0.5)]) for i in range(2000)], SIZE, {})
    assert many.mean() == pytest.approx(0, abs=0.05)
    assert many.std() == pytest.approx(1, abs=0.02)
    (plain,) = mix_latents([mix_of([((7, 3), 5.0)])], SIZE, {})
    assert np.array_equal(plain, latents(7, [3], SIZE)[0])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "none of"),
        ("7", "none of"),
        ("7:3*x", "number"),
        ("7:3*nan", "number"),
        ("7:3*2e6", "number"),
        ("18446744073709551616:0", "at most"),
        ("7:4294967296", "at most"),
        ("7:3,7:3*-1", "cancel"),
        ("7:3,shift:Smile*1", "direction"),
        ("7:3,shift:smile*101", "100"),
        ("vector:AAAA", "bytes"),
        ("vector:!!!!", "base64url"),
        (",".join(f"7:{i}" for i in range(65)), "at most 64"),
    ],
)
def test_what_is_no_recipe_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_mix(text)


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("tiny@1?recipe=7:3", "a link is"),
        ("unikat:tiny@1", "has a recipe"),
        ("unikat:tiny@1?style=ink", "has a recipe"),
        ("unikat:Tiny?recipe=7:3", "name@version"),
        ("unikat:tiny?recipe=x", "none of"),
        ("unikat:tiny?recipe=7:3&attempt=9", "0 to 8"),
        ("unikat:tiny?recipe=7:3&truncation=much", "much"),
        ("unikat:tiny?recipe=7:3&style=ink:a,oil:b", "blend"),
        ("unikat:tiny?recipe=7:3&style=ink:1e39,oil:1", "blend"),
        ("unikat:tiny?recipe=7:3&truncation=1e39", "too large"),
    ],
)
def test_what_is_no_link_is_refused_with_the_reason(link: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_link(link)


@pytest.mark.parametrize(("share", "end"), [(0.0, 0), (1.0, 1)])
def test_at_its_ends_a_cross_has_the_conditions_of_one_work_alone(share: float, end: int) -> None:
    works = parse_link("unikat:tiny@1?recipe=7:3"), parse_link("unikat:tiny@1?recipe=9:0&style=ink")
    found = works[0].crossed(works[1], share)
    assert (found.mix, found.where) == (works[end].mix, works[end].where)


def test_vectors_are_what_this_code_computes() -> None:
    """tests/vectors/recipes.json, which docs/sampling.md and docs/provenance.md refer to."""
    written = json.loads(TARGET.read_text(encoding="utf-8"))
    assert written == [computed(case) for case in CASES]
    assert written[1]["digest"] == written[8]["digest"] == written[0]["digest"]  # (A, A), radius 0, and A
    assert written[0]["digest"] == artwork_digest("sha256:" + "0" * 64, {}, 7, 3, 1.0).hex()
    assert written[9]["digest"] == artwork_digest("sha256:" + "0" * 64, {}, 11, 5, 1.0).hex()


def test_vector_numbers_come_back() -> None:
    assert vector_numbers(vector_bytes([0.5, -1.25])) == (0.5, -1.25)
    with pytest.raises(ValueError, match="number 1"):
        vector_bytes([0.0, math.nan])
