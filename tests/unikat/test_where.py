"""`--where` as people type it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.where import describe, format_where, parse_where, typed_flag
from unikat.request import conditions_of


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ([], {}),
        (["style=noto"], {"style": "noto"}),
        ([" style = noto "], {"style": "noto"}),
        (["style=noto", "category=animal"], {"style": "noto", "category": "animal"}),
        (["category=animal:0.7,plant:0.3"], {"category": {"animal": 0.7, "plant": 0.3}}),
        (["category=animal, plant"], {"category": {"animal": 1.0, "plant": 1.0}}),
        (["category=animal:2,plant"], {"category": {"animal": 2.0, "plant": 1.0}}),
        (["category=animal:0.5"], {"category": {"animal": 0.5}}),
        (["category=animal:1e-3,plant:0"], {"category": {"animal": 0.001, "plant": 0.0}}),
        (["skin tone=light skin"], {"skin tone": "light skin"}),
    ],
)
def test_conditions_are_read_as_they_were_meant(typed: list[str], meant: object) -> None:
    assert parse_where(typed) == meant


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("style", "needs an attribute and a category"),
        ("=noto", "needs an attribute and a category"),
        ("style=", "needs an attribute and a category"),
        ("style=noto,", "a category is empty"),
        ("style=:1", "a category is empty"),
        ("style=a:x,b:1", 'a weight is a number, not "x"'),
        ("style=a:,b:1", 'a weight is a number, not ""'),
        ("style=a,a", '"a" is named twice'),
    ],
)
def test_what_cannot_be_meant_is_refused_with_an_example(typed: str, complaint: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_where([typed])
    assert complaint in refused.value.message
    assert typed in refused.value.message
    assert refused.value.code == BAD_INPUT
    assert "--where category=animal:0.7,plant:0.3" in refused.value.hints[0]


def test_an_attribute_named_twice_is_told_how_a_blend_is_written() -> None:
    with pytest.raises(Problem, match=r"style=one:0\.5,other:0\.5"):
        parse_where(["style=noto", "style=twemoji"])


names = st.text(st.characters(blacklist_characters="=,:", categories=["L", "N", "P", "Zs"]), min_size=1).filter(
    lambda name: name == name.strip()
)
weights = st.floats(min_value=0, max_value=1e9)
blends = st.dictionaries(names, weights, min_size=1, max_size=4)


@given(st.dictionaries(names, names | blends, max_size=4))
def test_what_is_printed_to_draw_the_same_again_is_read_as_the_same(where: dict[str, str | dict[str, float]]) -> None:
    assert parse_where(format_where(where)) == where


@given(st.text())
def test_any_text_is_either_understood_or_refused_with_a_sentence(text: str) -> None:
    try:
        meant = parse_where([text])
    except Problem as problem:
        answer = problem.message
    else:
        answer = f"--where {len(conditions_of(meant))}"
    assert answer.startswith("--where")


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("conditions[0].category", "--where style=ink"),
        ("conditions[1].blend.weights[sea]", "--where subject=sea:0.25,hill:0.75"),
        ("grid.conditions[0].attribute", "--where style=ink"),
        ("plans[7].conditions[1]", "--where subject=sea:0.25,hill:0.75"),
        ("conditions[2].category", "--where"),
        ("seed", "--seed"),
    ],
)
def test_a_field_of_the_request_is_named_as_it_was_typed(field: str, typed: str) -> None:
    assert typed_flag({"style": "ink", "subject": {"sea": 0.25, "hill": 0.75}}, field) == typed


def test_a_blend_is_described_in_per_cent() -> None:
    assert describe({"animal": 7, "plant": 3}) == "animal 70% + plant 30%"
    assert describe("noto") == "noto"
