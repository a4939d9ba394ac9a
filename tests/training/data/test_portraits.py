"""Portraits: labels that are true of what is drawn, nothing behind, open licences, the same ones every time."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.training.data.preparing import prepare
from unikat_training.data.portraits import styles as styles_module
from unikat_training.data.portraits.drawing import HAIR, SKIN, compose, draw
from unikat_training.data.portraits.styles import LICENCES, definition, source, styles
from unikat_training.errors import DatasetError


def test_the_set_is_labelled_with_alpha_and_says_whose_it_is(tmp_path: Path) -> None:
    result = prepare(tmp_path / "out", "portraits", "--count", "70", "--size", "32", "--jobs", "1")
    dataset = result.dataset
    assert result.code == 0
    assert dataset.channels == 4
    names = ["style", "skin", "hair_color", "hair", "glasses", "facial_hair", "mood"]
    assert [attribute.name for attribute in dataset.attributes] == names
    assert dataset.attributes[0].categories == tuple(styles())
    corners = dataset.layers(np.arange(len(dataset)))[:, :1, [0, -1], 3]
    assert (corners == 0).mean() > 0.9  # big hair reaches some
    assert {each.licence for each in dataset.sources} == set(LICENCES.values())
    assert all("licensed under" in each.credit for each in dataset.sources)
    assert all(each.origin.startswith("dicebear-styles==") for each in dataset.sources)


def test_the_same_seed_draws_the_same_by_any_number_of_processes(tmp_path: Path) -> None:
    one, two, other = (
        prepare(tmp_path / name, "portraits", "--count", "40", "--size", "16", "--jobs", jobs, "--seed", seed).dataset
        for name, jobs, seed in (("one", "1", "5"), ("two", "2", "5"), ("other", "1", "6"))
    )
    assert one.digest == two.digest != other.digest


@pytest.mark.parametrize("name", list(styles()))
def test_every_variant_that_a_style_is_said_to_have_is_one_of_its_own(name: str) -> None:
    style, components, colours = styles()[name], definition(name)["components"], definition(name)["colors"]
    for part in (style.hair, style.mood, style.glasses, style.facial_hair, style.brows):
        if part is None:
            continue
        for category, variants in part.variants.items():
            component = style.hat if part is style.hair and category == "covered" and style.hat else part.component
            assert set(variants) - {""} <= set(components[component]["variants"]), (component, category)
    for colour in (style.skin, style.hair_colour, style.beard_colour, style.glasses_colour, style.clothes_colour):
        assert not colour or colour in colours
    assert set(style.tinted) <= set(components[style.hair.component]["variants"])
    assert {*style.never, *style.always, *style.fixed} <= set(components)


@pytest.mark.parametrize("name", list(styles()))
def test_a_style_draws_what_it_has_and_nothing_else(name: str) -> None:
    style, rng = styles()[name], random.Random(1)
    found = [compose(style, rng) for _ in range(400)]
    counts = {key: Counter(getattr(portrait, key) for portrait, _ in found) for key in ("hair", "glasses", "mood")}
    assert set(counts["hair"]) == set(style.hairs)
    assert set(counts["glasses"]) == set(style.spectacles)
    assert set(counts["mood"]) == set(style.moods)
    colours = {portrait.hair_color for portrait, _ in found} - {"none"}
    assert colours == (set(HAIR) if style.hair_colour else {"black"})
    assert all(portrait.hair_color == "none" for portrait, _ in found if portrait.hair == "bald")


@pytest.mark.parametrize("name", list(styles()))
def test_skin_hair_and_glasses_are_seen_where_they_are_labelled(name: str) -> None:
    """The same portrait in another skin or hair colour, or without its glasses, has other pixels."""
    style, rng = styles()[name], random.Random(2)
    for _ in range(200):
        portrait, options = compose(style, rng)
        if portrait.hair != "long" or (style.glasses and portrait.glasses == "none"):
            continue
        drawn = draw(name, options, 48)
        other_skin = next(colour for skin, colour in SKIN.items() if skin != portrait.skin)
        assert apart(drawn, draw(name, {**options, f"{style.skin}Color": other_skin}, 48)) > 0.02
        if style.hair_colour and not style.tinted:
            other_hair = next(colour for hair, colour in HAIR.items() if hair != portrait.hair_color)
            assert apart(drawn, draw(name, {**options, f"{style.hair_colour}Color": other_hair}, 48)) > 0.01
        if style.glasses and "none" not in style.glasses.variants:
            assert apart(drawn, draw(name, {**options, f"{style.glasses.component}Probability": 0}, 48)) > 0.002
        return
    raise AssertionError("none of 200 portraits has long hair")


def apart(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """The share of pixels that differ clearly."""
    return float((np.abs(one.astype(int) - other).max(axis=-1) > 24).mean())


def test_a_style_under_another_licence_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styles_module, "LICENCES", {"CC0 1.0": "CC0-1.0"})
    definition.cache_clear()
    try:
        assert source("lorelei").licence == "CC0-1.0"
        with pytest.raises(DatasetError, match=r"adventurer is licensed under 'CC BY 4\.0'; allowed are CC0 1\.0"):
            source("adventurer")
    finally:
        definition.cache_clear()


def test_a_style_that_is_not_installed_says_what_to_do() -> None:
    with pytest.raises(DatasetError, match="the style nobody is not there: pip install"):
        definition("nobody")


def test_two_attributes_of_one_component_are_never_both_there() -> None:
    style = styles()["big-smile"]
    rng = random.Random(3)
    found = [compose(style, rng)[0] for _ in range(500)]
    assert any(portrait.facial_hair == "yes" for portrait in found)
    assert not any(portrait.facial_hair == "yes" and portrait.glasses != "none" for portrait in found)
