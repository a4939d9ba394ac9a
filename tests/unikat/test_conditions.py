from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_model import STYLES, SUBJECTS, tiny_model
from unikat.conditions import (
    FieldError,
    Schema,
    Weights,
    check_conditions,
    check_named,
    choices,
    choose_from,
    to_messages,
)
from unikat.sampling import Purpose, condition_uniforms, philox
from unikat.v1.model_pb2 import Attribute, Category, Model
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


def test_a_category_is_found_however_its_accents_are_written() -> None:
    attribute = Attribute(name="place", categories=[Category(name="caf\u00e9"), Category(name="sea")])
    model = Model(attributes=[attribute])
    typed = "cafe\u0301"  # as macOS types it
    assert check_conditions(model, [Condition(attribute="place", category=typed)]) == {"place": {"caf\u00e9": 1.0}}
    both = Condition(attribute="place", blend=Blend(weights={typed: 1, "caf\u00e9": 2, "sea": 1}))
    assert check_conditions(model, [both]) == {"place": {"caf\u00e9": 0.75, "sea": 0.25}}


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


def complete_in_plain_steps(model: Model, weights: Weights, seed: int, index: int) -> Weights:
    """The definition of docs/sampling.md, word for word, for one image."""
    names = {attribute.name: [c.name for c in attribute.categories] for attribute in model.attributes}
    if all(name in weights for name in names):
        return weights
    words = philox(seed, [index], Purpose.CONDITIONS, blocks=1)
    uniform = ((words[:, 0] >> np.uint64(5)) * 67108864.0 + (words[:, 1] >> np.uint64(6)) + 0.5) / 2.0**53
    rows = np.array([list(c.categories) for c in model.combinations])
    counts = np.array([float(c.count) for c in model.combinations])
    shares = counts
    for position, (name, categories) in enumerate(names.items()):
        if name in weights:
            shares = shares * np.array([weights[name].get(c, 0.0) for c in categories])[rows[:, position]]
    cumulative = np.cumsum(shares if shares.sum() > 0 else counts)
    (drawn,) = rows[np.searchsorted(cumulative, uniform * cumulative[-1], side="right").clip(max=len(rows) - 1)]
    return {name: weights.get(name, {of[drawn[k]]: 1.0}) for k, (name, of) in enumerate(names.items())}


def vector_in_plain_steps(model: Model, weights: Weights) -> list[float]:
    """The weights of all categories in the model's order."""
    named = [(attribute.name, c.name) for attribute in model.attributes for c in attribute.categories]
    return [weights.get(attribute, {}).get(category, 0.0) for attribute, category in named]


@given(st.lists(st.tuples(WEIGHTS, st.integers(0, 2**64 - 1), st.integers(0, 5000)), min_size=1, max_size=8))
def test_a_batch_of_rows_is_what_each_row_is_in_plain_steps(
    asked: list[tuple[dict[str, dict[str, float]], int, int]],
) -> None:
    rows = [
        (check_conditions(MODEL, [blend(name, **of) for name, of in each.items()]), seed, index)
        for each, seed, index in asked
    ]
    uniforms = condition_uniforms([seed for _, seed, _ in rows], [index for _, _, index in rows])
    complete = SCHEMA.complete_rows([weights for weights, _, _ in rows], uniforms)
    expected = [complete_in_plain_steps(MODEL, *row) for row in rows]
    assert [conditions.weights for conditions in complete] == expected
    assert [list(conditions.weights) for conditions in complete] == [list(of) for of in expected]
    vectors = np.array([vector_in_plain_steps(MODEL, of) for of in expected], dtype=np.float32)
    assert SCHEMA.stacked(complete).tobytes() == SCHEMA.vectors(expected).tobytes() == vectors.tobytes()


def test_the_same_conditions_are_the_same_object() -> None:
    asked = {"style": {"ink": 1.0}, "subject": {"sea": 1.0}}
    (one,), (other,) = SCHEMA.complete_rows([asked], [0.5]), SCHEMA.complete_rows([{**asked}], [0.1])
    assert one is other
    drawn = SCHEMA.complete_rows([{}] * 600, condition_uniforms(1, range(600)))
    assert len(set(drawn)) == len(MODEL.combinations)


def test_completion_does_not_change_what_was_asked_for_nor_later_draws() -> None:
    asked: dict[str, dict[str, float]] = {"style": {"ink": 1.0}}
    first = SCHEMA.complete(asked, 1, range(20))
    asked["style"]["oil"] = 1.0  # the caller's own object, after the call
    assert SCHEMA.complete({"style": {"ink": 1.0}}, 1, range(20)) == first
    assert all(image["style"] == {"ink": 1.0} for image in first)


@pytest.mark.parametrize("asked", [{"style": {"crayon": 1.0}}, {"mood": {"calm": 1.0}}])
def test_what_the_model_does_not_have_is_refused(asked: Weights) -> None:
    with pytest.raises(KeyError, match=r"crayon|mood"):
        SCHEMA.complete(asked, 1, [0])


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


def test_a_negative_weight_is_refused_beside_a_positive_one_of_the_same_category_spelled_otherwise() -> None:
    names = {"place": ["caf\u00e9", "sea"]}
    blend = Blend(weights={"caf\u00e9": 2.0, "cafe\u0301": -1.0})
    with pytest.raises(FieldError, match="at least 0"):
        check_named(names, [Condition(attribute="place", blend=blend)])
    blend.weights["cafe\u0301"] = 1.0
    assert check_named(names, [Condition(attribute="place", blend=blend)]) == {"place": {"caf\u00e9": 1.0}}
