"""Keyframes of a film as they are typed: latents, or works, whose conditions the film passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from unikat.cli.problems import BAD_INPUT, Problem

if TYPE_CHECKING:
    from unikat.recipes.artwork import ArtworkRecipe
    from unikat.recipes.mix import Mix
    from unikat.request import Where

FORM: Final = "seed:index, a mix such as 7:0*0.8,9:3*0.6, a file that Unikat drew, a link, or model:seed:index"
V = TypeVar("V")


@dataclass(frozen=True)
class Keyframe:
    """What was `typed` for `flag`. `work` is None of a latent alone, which goes with any conditions."""

    flag: str
    typed: str
    mix: Mix
    work: ArtworkRecipe | None = None

    @property
    def again(self) -> str:
        """What to type for the same, wherever a file has gone meanwhile."""
        return self.work.link if self.work else self.typed


def read_keyframe(flag: str, typed: str) -> Keyframe:
    """Raises Problem, naming the flag, for what is neither a latent nor a work."""
    from unikat.cli.work import is_file, read_work
    from unikat.recipes.artwork import SCHEME
    from unikat.recipes.text import parse_mix

    is_work, told = is_file(typed) or typed.startswith(SCHEME), ""
    if not is_work:
        try:
            return Keyframe(flag, typed, parse_mix(typed))
        except ValueError as error:
            told = f"must be {FORM}: {error}"
    try:
        work = read_work(typed).recipe
    except Problem as problem:  # of a model:seed:index, too, what is wrong is said best of the latent
        message = f"{typed}: {told}" if told else problem.message
        raise Problem(f"{flag} {message}", *problem.hints, code=BAD_INPUT) from problem
    return Keyframe(flag, typed, work.mix, work)


def stations(named: ArtworkRecipe, keyframes: Sequence[Keyframe]) -> list[ArtworkRecipe]:
    """The artworks that a film passes. What was `named` for the film wins.

    Conditions and a truncation that a keyframe does not say are those of the one before it; of the first, those of the
    next that says them. So they change slowly or not at all. Raises Problem where works are of another model, of
    another attempt, or on another background that was not named.
    """
    works = [each for each in keyframes if each.work]
    pinned = next((of for of in (named.model, *(each.work.model for each in works if each.work)) if "@" in of), "")
    for each in works:
        if each.work and pinned and each.work.model not in (pinned, pinned.partition("@")[0]):
            raise Problem(f"{each.flag} {each.typed}: is of {each.work.model}, not of {pinned}", code=BAD_INPUT)
    models = [(each, each.work.model.partition("@")[0]) for each in works if each.work]
    if models and _agreed("model", models) != named.model.partition("@")[0]:
        raise Problem(f"{works[0].flag} {works[0].typed}: is of {models[0][1]}, not of {named.model}", code=BAD_INPUT)
    attempts = [(each, each.work.attempt if each.work else 0) for each in keyframes]
    background = named.background
    if not background:
        behind = [(each, each.work.background) for each in works if each.work and each.work.background]
        background = _agreed("background", behind, "All frames have one: name it with --background.") or ""
    film = replace(named, model=pinned or named.model, background=background, attempt=_agreed("attempt", attempts) or 0)
    where: Where = {}
    truncation: float | None = None
    for each in reversed(works):
        where, truncation = _with(each, where, truncation)
    found = []
    for each in keyframes:
        where, truncation = _with(each, where, truncation)
        asked = truncation if named.truncation is None else named.truncation
        found.append(replace(film, mix=each.mix, where={**where, **named.where}, truncation=asked))
    return found


def _with(each: Keyframe, where: Where, truncation: float | None) -> tuple[Where, float | None]:
    """Conditions and truncation, where a keyframe says none itself."""
    if each.work is None:
        return where, truncation
    return {**where, **each.work.where}, truncation if each.work.truncation is None else each.work.truncation


def _agreed(what: str, said: Sequence[tuple[Keyframe, V]], hint: str = "All frames have one.") -> V | None:
    """What all say; None where nobody says anything. Raises Problem where two differ."""
    for each, value in said[1:]:
        if value != said[0][1]:
            first = said[0][0]
            told = f"{what} is {value}, but that of {first.flag} {first.typed} is {said[0][1]}"
            raise Problem(f"{each.flag} {each.typed}: its {told}", hint, code=BAD_INPUT)
    return said[0][1] if said else None
