"""Keyframes of films: files, links and latents, and what they have in common."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unikat.cli.keyframes import Keyframe, read_keyframe, stations
from unikat.cli.problems import Problem
from unikat.recipes.artwork import ArtworkRecipe
from unikat.recipes.mix import mix_of
from unikat.recipes.text import text_of, vector_bytes

MIX = mix_of([((7, 0), 1.0)])
VECTOR = mix_of([(vector_bytes([0.125] * 128), 1.0)])
WORK = ArtworkRecipe("emoji@2", MIX, {"style": "noto"}, 0.75, "#ff0000")
FILM = ArtworkRecipe("emoji", MIX)


def keyframes(*works: ArtworkRecipe) -> list[Keyframe]:
    return [read_keyframe("--to" if number else "--from", work.link) for number, work in enumerate(works)]


def test_a_vector_is_typed_like_any_latent_although_no_file_has_so_long_a_name() -> None:
    link = replace(WORK, mix=VECTOR).link
    assert len(link) > 300
    assert read_keyframe("--from", link).mix == VECTOR
    assert read_keyframe("--from", text_of(VECTOR)).mix == VECTOR


def test_works_are_passed_as_they_are() -> None:
    other = replace(WORK, mix=VECTOR, where={"style": "fluent"}, truncation=0.5)
    assert stations(FILM, keyframes(WORK, other)) == [WORK, other]


def test_what_a_keyframe_does_not_say_is_as_before_it() -> None:
    fluent = replace(WORK, where={"style": "fluent", "category": "face"}, truncation=0.5)
    latent = read_keyframe("--to", "9:3")
    said = [read_keyframe("--from", "7:0"), *keyframes(WORK), latent, *keyframes(fluent), latent, *keyframes(WORK)]
    found = stations(FILM, said)
    assert [each.where["style"] for each in found] == ["noto", "noto", "noto", "fluent", "fluent", "noto"]
    assert [each.where["category"] for each in found] == ["face"] * 6
    assert [each.truncation for each in found] == [0.75, 0.75, 0.75, 0.5, 0.5, 0.75]
    assert {each.background for each in found} == {WORK.background}
    assert [each.mix for each in found] == [each.mix for each in said]


def test_what_is_named_for_the_film_wins() -> None:
    named = replace(FILM, where={"style": "fluent"}, truncation=1.0)
    for each in stations(named, keyframes(WORK, replace(WORK, truncation=0.5))):
        assert (each.where, each.truncation) == (named.where, 1.0)


@pytest.mark.parametrize("models", [("emoji", "emoji@2"), ("emoji@2", "emoji"), ("emoji@2", "emoji@2")])
@pytest.mark.parametrize("named", ["emoji", "emoji@2"])
def test_a_model_without_a_version_is_that_of_the_others(models: tuple[str, str], named: str) -> None:
    works = [replace(WORK, model=model) for model in models]
    assert [each.model for each in stations(replace(FILM, model=named), keyframes(*works))] == ["emoji@2"] * 2


@pytest.mark.parametrize("named", ["portraits", "emoji@1"])
def test_works_of_another_model_are_refused(named: str) -> None:
    with pytest.raises(Problem, match="is of emoji@2, not of" if "@" in named else "is of emoji(@2)?, not of"):
        stations(replace(FILM, model=named), keyframes(WORK, WORK))


def test_works_of_two_versions_are_refused() -> None:
    with pytest.raises(Problem, match="is of emoji@1, not of emoji@2"):
        stations(FILM, keyframes(WORK, replace(WORK, model="emoji@1")))


def test_backgrounds_that_differ_are_named_or_refused() -> None:
    other = keyframes(WORK, replace(WORK, background="#00ff00"))
    with pytest.raises(Problem, match="background is #00ff00, but that of --from"):
        stations(FILM, other)
    assert {each.background for each in stations(replace(FILM, background="white"), other)} == {"white"}


def test_attempts_that_differ_are_refused() -> None:
    with pytest.raises(Problem, match="attempt is 1, but that of --from"):
        stations(FILM, keyframes(WORK, replace(WORK, attempt=1)))
