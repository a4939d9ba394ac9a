"""Keyframes of films: files, links and latents, and what they have in common."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unikat.cli.keyframes import Keyframe, common_recipe, read_keyframe
from unikat.cli.problems import Problem
from unikat.recipes.artwork import ArtworkRecipe
from unikat.recipes.mix import mix_of
from unikat.recipes.text import text_of, vector_bytes

MIX = mix_of([((7, 0), 1.0)])
VECTOR = mix_of([(vector_bytes([0.125] * 128), 1.0)])
WORK = ArtworkRecipe("emoji@2", MIX, {"style": "noto"}, 0.8, "#ff0000")
FILM = ArtworkRecipe("emoji", MIX)


def keyframes(*works: ArtworkRecipe) -> list[Keyframe]:
    return [read_keyframe("--to" if number else "--from", work.link) for number, work in enumerate(works)]


def test_a_vector_is_typed_like_any_latent_although_no_file_has_so_long_a_name() -> None:
    link = replace(WORK, mix=VECTOR).link
    assert len(link) > 300
    assert read_keyframe("--from", link).mix == VECTOR
    assert read_keyframe("--from", text_of(VECTOR)).mix == VECTOR


def test_what_works_have_in_common_holds_for_the_film() -> None:
    found = common_recipe(FILM, keyframes(WORK, WORK))
    assert (found.model, found.where) == ("emoji@2", {"style": "noto"})
    assert found.truncation == pytest.approx(0.8)
    assert found.background == WORK.background


@pytest.mark.parametrize("models", [("emoji", "emoji@2"), ("emoji@2", "emoji"), ("emoji@2", "emoji@2")])
@pytest.mark.parametrize("named", ["emoji", "emoji@2"])
def test_a_model_without_a_version_is_that_of_the_others(models: tuple[str, str], named: str) -> None:
    works = [replace(WORK, model=model) for model in models]
    assert common_recipe(replace(FILM, model=named), keyframes(*works)).model == "emoji@2"


@pytest.mark.parametrize("named", ["portraits", "emoji@1"])
def test_works_of_another_model_are_refused(named: str) -> None:
    with pytest.raises(Problem, match="is of emoji@2, not of" if "@" in named else "is of emoji(@2)?, not of"):
        common_recipe(replace(FILM, model=named), keyframes(WORK, WORK))


def test_works_of_two_versions_are_refused() -> None:
    with pytest.raises(Problem, match="is of emoji@1, not of emoji@2"):
        common_recipe(FILM, keyframes(WORK, replace(WORK, model="emoji@1")))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(WORK, truncation=0.5), replace(FILM, truncation=1.0)),
        (replace(WORK, background="#00ff00"), replace(FILM, background="white")),
        (replace(WORK, where={"style": "fluent"}), replace(FILM, where={"style": "noto"})),
    ],
)
def test_what_differs_is_named_or_refused(other: ArtworkRecipe, named: ArtworkRecipe) -> None:
    with pytest.raises(Problem, match="but that of --from"):
        common_recipe(FILM, keyframes(WORK, other))
    found = common_recipe(named, keyframes(WORK, other))
    assert {**WORK.where, **named.where} == found.where
    assert found.truncation == named.truncation or named.truncation is None
    assert found.background == named.background or not named.background
