"""Recipes as the queries of addresses, and images that are kept within a bound."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unikat.artwork import Artwork, Renderer, Timings
from unikat.errors import InvalidRequest
from unikat_gallery.images import Images
from unikat_gallery.links import Link

_NAMES = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="=,:"), min_size=1, max_size=20)
_WEIGHTS = st.floats(2**-10, 1.0, width=32)
_VALUES = _NAMES | st.dictionaries(_NAMES, _WEIGHTS, min_size=2, max_size=4)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True), _VALUES, max_size=4),
    st.none() | st.sampled_from([0.1, 0.9, 1.5]),
)
def test_a_recipe_is_the_same_after_its_address(
    seed: int, index: int, where: dict[str, str | dict[str, float]], truncation: float | None
) -> None:
    link = Link("tiny@1", seed, index, where, truncation, "#ff000080", 2)
    again = Link.parse(link.query)
    assert again.query == link.query
    assert (again.seed, again.index, again.truncation, again.background) == (seed, index, truncation, "#ff000080")
    assert set(again.where) == set(where)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("seed=7", "model"),
        ("model=tiny", "seed"),
        ("model=tiny&seed=-1", "seed"),
        ("model=tiny&seed=18446744073709551616", "seed"),
        ("model=tiny&seed=7&index=x", "index"),
        ("model=tiny&seed=7&truncation=much", "truncation"),
        ("model=tiny&seed=7&truncation=nan", "truncation"),
        ("model=tiny&seed=7&truncation=1e39", "truncation"),
        ("model=tiny&seed=7" + "&a=b" * 128, "link"),
        ("model=tiny&seed=7&c.style=ink:0.5,oil", "c.style"),
        ("model=tiny&seed=7&c.style=ink:much", "c.style"),
        ("model=tiny&seed=7&" + "x" * 5000, "link"),
    ],
)
def test_a_wrong_address_says_which_part_is_wrong(query: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        Link.parse(query)
    assert list(raised.value.fields) == [field]


def test_images_are_kept_within_a_bound_and_the_least_used_go() -> None:
    images = Images(1000)
    for number in range(10):
        images.keep(_artwork(f"{number:016x}", 300))
        images.get(f"{0:016x}")
    assert images.size == 900
    assert images.get(f"{0:016x}") is not None
    assert images.get(f"{1:016x}") is None
    images.keep(_artwork("f" * 16, 2000))
    assert images.get("f" * 16) is None


def _artwork(id: str, size: int) -> Artwork:
    renderer, timings = Renderer("cpu", "ort", "x86_64"), Timings(0, 0, 0, 0)
    return Artwork(0, id, 7, {}, 1.0, "image/png", b"\0" * size, 1, 1, "sha256:", renderer, timings)
