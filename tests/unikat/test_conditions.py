from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_model import STYLES, SUBJECTS, tiny_model
from unikat.conditions import FieldError, Schema, Weights, check_conditions, choices, choose_from, to_messages
from unikat.v1.studio_pb2 import Blend, Condition

MODEL = tiny_model()
SCHEMA = Schema(MODEL)


def blend(attribute: str, **weights: float) -> Condition:
    return Condition(attribute=attribute, blend=Blend(weights=weights))


def test_a_category_weighs_one_and_a_blend_is_divided_by_its_sum() -> None:
    weights = check_conditions(MODEL, [blend("subject", sea=3, hill=1), Condition(attribute="style", category="oil")])
    assert weights == {"style": {"oil": 1.0}, "subject": {"sea": 0.75, "hill": 0.25}}
    assert list(weights) == ["style", "subject"]  # the model's order, whatever the caller's


def test_a_weight_of_zero_is_no_part_of_a_blend() -> None:
    assert check_conditions(MODEL, [blend("style", ink=2, oil=0)]) == {"style": {"ink": 1.0}}


@pytest.mark.parametrize(
    ("condition", "field", "message"),
    [
        (Condition(attribute="mood", category="x"), "conditions[0].attribute", '"style", "subject"'),
        (Condition(attribute="style", category="x"), "conditions[0].category", '"ink", "oil", "chalk"'),
        (Condition(attribute="style"), "conditions[0]", "needs a category or a blend"),
        (Condition(attribute="style", category=""), "conditions[0].category", '"ink", "oil", "chalk"'),
        (blend("style", ink=1, x=1), "conditions[0].blend.weights[x]", '"ink", "oil", "chalk"'),
        (blend("style", ink=-1), "conditions[0].blend.weights[ink]", "at least 0"),
        (blend("style", ink=math.nan), "conditions[0].blend.weights[ink]", "finite"),
        (blend("style", ink=math.inf), "conditions[0].blend.weights[ink]", "finite"),
        (blend("style", ink=0), "conditions[0].blend.weights", "more than 0"),
        (blend("style"), "conditions[0].blend.weights", "more than 0"),
    ],
)
def test_a_wrong_condition_names_its_field_and_the_valid_choices(
    condition: Condition, field: str, message: str
) -> None:
    with pytest.raises(FieldError) as caught:
        check_conditions(MODEL, [condition])
    assert caught.value.field == field
    assert message in caught.value.message


def test_an_attribute_named_twice_is_refused() -> None:
    twice = [Condition(attribute="style", category=c) for c in ("ink", "oil")]
    with pytest.raises(FieldError, match=r'conditions\[1\]\.attribute: "style" is named twice'):
        check_conditions(MODEL, twice)


def test_a_model_without_attributes_takes_no_conditions() -> None:
    plain = tiny_model(conditional=False)
    assert check_conditions(plain, []) == {}
    assert Schema(plain).vectors(Schema(plain).complete({}, 1, [0, 1])).shape == (2, 0)
    with pytest.raises(FieldError, match="this model has none"):
        check_conditions(plain, [Condition(attribute="style", category="ink")])


def test_a_slip_of_the_pen_is_told_what_was_meant() -> None:
    assert choose_from(STYLES, "chlak") == 'did you mean "chalk"? Choose from "ink", "oil", "chalk"'
    assert choose_from(STYLES, "zzz") == 'choose from "ink", "oil", "chalk"'
    assert choose_from(STYLES, "ink" * 1000) == 'choose from "ink", "oil", "chalk"'


def test_many_choices_are_cut() -> None:
    assert choices([str(n) for n in range(50)], limit=2) == '"0", "1" and 48 more'


WEIGHTS = st.fixed_dictionaries(
    {},
    optional={
        "style": st.dictionaries(st.sampled_from(STYLES), st.floats(2**-20, 1e6, width=32), min_size=1),
        "subject": st.dictionaries(st.sampled_from(SUBJECTS), st.floats(2**-20, 1e6, width=32), min_size=1),
    },
)


@given(WEIGHTS)
def test_what_is_reported_can_be_asked_for_again(asked: dict[str, dict[str, float]]) -> None:
    weights = check_conditions(MODEL, [blend(name, **of) for name, of in asked.items()])
    again = check_conditions(MODEL, to_messages(weights))
    for name, of in weights.items():
        assert again[name] == pytest.approx(of, rel=1e-6)  # messages hold float32


@given(WEIGHTS, st.integers(0, 2**64 - 1), st.lists(st.integers(0, 5000), min_size=1, max_size=8))
def test_every_image_gets_a_complete_condition_that_depends_on_nothing_else(
    asked: dict[str, dict[str, float]], seed: int, indices: list[int]
) -> None:
    weights = check_conditions(MODEL, [blend(name, **of) for name, of in asked.items()])
    together = SCHEMA.complete(weights, seed, indices)
    for index, image in zip(indices, together, strict=True):
        assert [image] == SCHEMA.complete(weights, seed, [index])
        assert list(image) == ["style", "subject"]
        assert all(image[name] == weights[name] for name in weights)
    vectors = SCHEMA.vectors(together)
    assert vectors.shape == (len(indices), 5)
    np.testing.assert_allclose(vectors[:, :3].sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(vectors[:, 3:].sum(1), 1, rtol=1e-6)


def drawn(weights: Weights, attribute: str, count: int = 6000) -> dict[str, float]:
    images = SCHEMA.complete(weights, 3, range(count))
    tally = Counter(next(iter(image[attribute])) for image in images)
    return {name: tally[name] / count for name in tally}


def test_what_is_left_out_follows_the_training_distribution_given_what_is_asked() -> None:
    assert drawn({}, "style") == pytest.approx({"ink": 1 / 3, "oil": 1 / 3, "chalk": 1 / 3}, abs=0.03)
    assert drawn({"style": {"ink": 1.0}}, "subject") == pytest.approx({"sea": 0.6, "hill": 0.4}, abs=0.03)
    # chalk was never seen with a hill
    assert drawn({"subject": {"hill": 1.0}}, "style") == pytest.approx({"ink": 4 / 9, "oil": 5 / 9}, abs=0.03)
    assert drawn({"style": {"chalk": 1.0}}, "subject") == {"sea": 1.0}
    # a blend weighs the combinations: ink (6, 4) at 0.5 and chalk (10, 0) at 0.5
    assert drawn({"style": {"ink": 0.5, "chalk": 0.5}}, "subject") == pytest.approx({"sea": 0.8, "hill": 0.2}, abs=0.03)


def test_a_combination_that_training_never_saw_can_still_be_asked_for() -> None:
    asked = {"style": {"chalk": 1.0}, "subject": {"hill": 1.0}}
    assert SCHEMA.complete(asked, 1, [0]) == [asked]
