"""What a card says of the training is what the run's settings were."""

from __future__ import annotations

from unikat.v1.model_pb2 import Attribute, Model, TrainingRun
from unikat_training.config import Config
from unikat_training.presets import load_preset
from unikat_training.recipe import recipe

CONDITIONAL = Model(
    width=64, attributes=[Attribute(name="style"), Attribute(name="tone")], training=TrainingRun(images=1_280_000)
)
PLAIN = Model(width=64, training=TrainingRun(images=1_280_000))


def test_the_default_has_augmentation_and_no_penalty() -> None:
    told = recipe(Config(balance_over="style,tone", condition_dropout=0.15), CONDITIONAL)
    for words in (
        "EfficientNet-Lite0",
        "the loss is hinge loss",
        "no gradient penalty",
        "(colour, translation, cutout) of real and drawn images alike, each with probability 0.5.",
        "n^-0.6, where n is the number of pictures of their combination of style and tone.",
        "with a wrong condition, to be told from those with their own, with weight 0.5; 50% of these were wrong in one",
        "left out of a condition with probability 0.15.",
        "About 10% of the data set's pictures were held out",
    ):
        assert words in told
    assert "ADA" not in told
    assert "mirrored" not in told


def test_with_one_attribute_nothing_is_said_of_conditions_wrong_in_one_only() -> None:
    single = Model(width=64, attributes=[Attribute(name="style")], training=TrainingRun(images=1_280_000))
    assert "with weight 0.5." in recipe(Config(), single)


def test_penalties_are_told_with_the_gamma_that_was_used() -> None:
    told = recipe(load_preset("r3gan", 64), CONDITIONAL)  # the rule's reference: gamma is as it is set
    assert "R1 and R2 with γ = 1, going to 0.1 by 2,000,000 images; every 4 steps, with 4 times that weight." in told
    assert "a probability that grows from 0 to 0.3 by 2,000,000 images" in told
    assert "R2 with γ = 3; every step." in recipe(Config(gamma=3, lazy=1), CONDITIONAL)


def test_adaptive_augmentation_is_named() -> None:
    told = recipe(Config(augment=0.8, ada_target=0.6), CONDITIONAL)
    assert "a probability of at most 0.8 that follows overfitting (ADA, target r_t = 0.6)." in told
    assert "No augmentation. Half of the pictures were shown mirrored." in recipe(
        Config(augment=0, ada_target=0.6, mirror=True), CONDITIONAL
    )


def test_a_plain_model_has_no_word_about_conditions() -> None:
    told = recipe(Config(held_out=0), PLAIN)
    assert "condition" not in told
    assert "combination" not in told
    assert "No picture was held out to measure the model on. Another 5% were kept to decide with" in told


def test_what_was_kept_from_training_and_what_taught_the_labels_is_told() -> None:
    told = recipe(Config(unseen=0.1, unseen_over="style, tone", auxiliary=0.5), CONDITIONAL)
    assert "10% of the combinations of style and tone were not trained on." in told
    assert "trained on real pictures alone" in told
    assert "with weight 0.5 from 60,000 images on, rising since 20,000." in told
    assert "clamped to what a pixel can hold" in told
    plain = recipe(Config(auxiliary=0, clamp=False, validation=0), CONDITIONAL)
    few = Model(width=64, training=TrainingRun(images=500))
    assert "Another" not in recipe(Config(), few)  # a twentieth of them would decide nothing
    assert not any(word in plain for word in ("classifier", "clamped", "Another", "not trained on"))


def test_what_was_not_done_is_not_claimed() -> None:
    told = recipe(Config(wrong_label_weight=0, condition_dropout=0, balance=0), CONDITIONAL)
    assert "wrong condition" not in told
    assert "No attribute was ever left out of a condition." in told
    assert "Pictures were shown as often as they occur." in told
    ramp = recipe(Config(condition_from=20_000, condition_to=60_000), CONDITIONAL)
    assert "Conditions took effect between 20,000 and 60,000 images." in ramp
