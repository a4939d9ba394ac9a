"""`--where` as people type it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_model import tiny_model
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.where import check_where, describe, format_where, parse_where
from unikat.conditions import check_conditions
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
        (["category=animal:0.5"], {"category": "animal"}),
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
        ("style=a:x,b:1", 'a number of at least 0, not "x"'),
        ("style=a:-1,b:1", 'a number of at least 0, not "-1"'),
        ("style=a:nan,b:1", "a number of at least 0"),
        ("style=a:inf,b:1", "a number of at least 0"),
        ("style=a:,b:1", 'a number of at least 0, not ""'),
        ("style=a:0,b:0", "sum to more than 0"),
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
blends = st.dictionaries(names, weights, min_size=2, max_size=4).filter(lambda blend: sum(blend.values()) > 0)


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


def test_an_unknown_category_is_answered_with_what_is_spelled_alike_and_all_choices() -> None:
    with pytest.raises(Problem) as refused:
        check_where(tiny_model(), {"style": {"ink": 0.5, "chlak": 0.5}})
    assert refused.value.message == 'unknown style of tiny "chlak"'
    assert refused.value.hints == ["Did you mean chalk?", "Choices for style: ink, oil, chalk"]


def test_an_unknown_attribute_is_answered_with_the_attributes_there_are() -> None:
    with pytest.raises(Problem) as refused:
        check_where(tiny_model(), {"zzz": "ink"})
    assert refused.value.hints == ["Attributes: style, subject"]


def test_a_model_without_attributes_says_so() -> None:
    with pytest.raises(Problem) as refused:
        check_where(tiny_model(conditional=False), {"style": "ink"})
    assert refused.value.hints == ["There are no attributes."]


def test_what_the_check_lets_through_the_service_lets_through() -> None:
    where = parse_where(["style=ink:3,oil", "subject=sea"])
    check_where(tiny_model(), where)
    assert check_conditions(tiny_model(), conditions_of(where)) == {
        "style": {"ink": 0.75, "oil": 0.25},
        "subject": {"sea": 1.0},
    }


def test_a_blend_is_described_in_per_cent() -> None:
    assert describe({"animal": 7, "plant": 3}) == "animal 70% + plant 30%"
    assert describe("noto") == "noto"
