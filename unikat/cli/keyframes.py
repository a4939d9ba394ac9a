"""Keyframes of a film as they are typed: latents, or works, whose conditions then hold for the whole film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.where import describe

if TYPE_CHECKING:
    from unikat.recipes.artwork import ArtworkRecipe
    from unikat.recipes.mix import Mix

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


def common_recipe(named: ArtworkRecipe, keyframes: Sequence[Keyframe]) -> ArtworkRecipe:
    """What all frames have in common beside their latents; its mix is the first one's.

    What was `named` for the film wins. Raises Problem where works are of another model, or differ in a condition, the
    truncation or the background that was not named, or in what no flag of the film can say for them.
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
    names = dict.fromkeys(name for each in works if each.work for name in each.work.where)
    agreed = {name: _condition(name, works) for name in names if name not in named.where}
    truncation, background = named.truncation, named.background
    if truncation is None:
        said = [(each, each.work.truncation) for each in works if each.work and each.work.truncation is not None]
        truncation = _agreed("truncation", said, "All frames have one: name it with --truncation.")
    if not background:
        behind = [(each, each.work.background) for each in works if each.work and each.work.background]
        background = _agreed("background", behind, "All frames have one: name it with --background.") or ""
    return replace(
        named, model=pinned or named.model, mix=keyframes[0].mix, where={**agreed, **named.where},
        truncation=truncation, background=background, attempt=_agreed("attempt", attempts) or 0,
    )  # fmt: skip


def _condition(name: str, works: Sequence[Keyframe]) -> str | Mapping[str, float]:
    said = [(each, each.work.where[name]) for each in works if each.work and name in each.work.where]
    hint = f"All frames have one: name it with --where {name}=..."
    _agreed(name, [(each, describe(of)) for each, of in said], hint)
    return said[0][1]


def _agreed(what: str, said: Sequence[tuple[Keyframe, V]], hint: str = "All frames have one.") -> V | None:
    """What all say; None where nobody says anything. Raises Problem where two differ."""
    for each, value in said[1:]:
        if value != said[0][1]:
            first = said[0][0]
            told = f"{what} is {value}, but that of {first.flag} {first.typed} is {said[0][1]}"
            raise Problem(f"{each.flag} {each.typed}: its {told}", hint, code=BAD_INPUT)
    return said[0][1] if said else None
