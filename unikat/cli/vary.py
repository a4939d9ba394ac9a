"""`unikat vary`, `unikat cross`: what is like a work, and what lies between two."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unikat.cli import options, work
from unikat.cli.generate import Order, deliver, how_words
from unikat.cli.problems import BAD_INPUT, Problem, connect, flag_of
from unikat.cli.where import format_where

if TYPE_CHECKING:
    from unikat.aio import DrawOptions
    from unikat.recipes.artwork import ArtworkRecipe
    from unikat.recipes.mix import Mix
    from unikat.recipes.sequence import Walk

Where = Annotated[
    list[str] | None, typer.Option(help="Condition in place of the work's: attribute=category, or a blend. Repeat it.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the images.")]
WithSheet = Annotated[bool, typer.Option("--sheet/--no-sheet", help="Also write a contact sheet.")]
Work = Annotated[str, typer.Argument(help=work.HELP, show_default=False)]


@dataclass(frozen=True)
class Delivered:
    """How images are drawn, and where they go."""

    where: Where = None
    format: options.Format = "png"
    credentials: options.Credentials = "none"
    originality: options.Originality = None
    out: Out = Path("out")
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line: every image, then all.")] = (
        False
    )
    at: options.Service = options.SERVICE

    @property
    def options(self) -> DrawOptions:
        """What `Studio.vary` and `Studio.cross` take."""
        return {"format": self.format, "credentials": self.credentials, "originality": self.originality}

    def order(self, of: ArtworkRecipe, count: int, sheet: bool) -> Order:
        """For what is said of the images."""
        return Order(
            of.model, format_where(of.where), count=count, truncation=of.truncation, format=self.format,
            background=of.background, credentials=self.credentials, out=self.out, sheet=sheet, as_json=self.as_json,
            originality=self.originality, at=self.at,
        )  # fmt: skip


@dataclass(frozen=True)
class Variations:
    """What `unikat vary` is told."""

    work: Work
    count: Annotated[int, typer.Option("--count", "-n", help="Number of variations.")] = 16
    radius: Annotated[
        float | None,
        typer.Option(help="How far they are from it: 0 (the work itself) to 1 (strangers); 0.3 if not given."),
    ] = None
    seed: options.Seed = None
    direction: Annotated[
        str | None,
        typer.Option(help="Move it along this direction of the model instead: `unikat models show` lists them."),
    ] = None
    strength: Annotated[
        float | None,
        typer.Option(help="How far along it to both sides, in standard deviations; 3 if not given."),
    ] = None
    sheet: WithSheet = True
    how: Delivered = Delivered()


def vary(asked: Variations) -> None:
    """Draw variations of a work: around it, near ones with a small radius, or along a direction of its model."""
    from unikat.request import given_or_picked, sent_where

    _check(asked)
    parent = _with(work.read_work(asked.work).recipe, asked.how.where)
    seed, radius = given_or_picked(asked.seed), 0.3 if asked.radius is None else asked.radius
    strength = 3.0 if asked.strength is None else asked.strength
    order = asked.how.order(parent, asked.count, asked.sheet)
    words = ["unikat", "vary", parent.link, "-n", str(asked.count)]
    if asked.direction is None:
        words += ["--radius", f"{radius!r}", "--seed", str(seed)]
    else:
        words += ["--direction", asked.direction, "--strength", f"{strength!r}"]
    with connect(asked.how.at, flag=flag_of) as studio:
        studio.model(parent.model)  # whoever mistyped the target is told at once
        if asked.direction is None:
            what = f"variations, seed {seed}"
            drawn = studio.vary(parent, radius, count=asked.count, seed=seed, **asked.how.options)
        else:
            what = f"along direction {asked.direction}, {strength:g} to both sides"
            drawn = studio.generate(
                parent.model, sent_where(parent.where), walk=_along(parent.mix, asked, strength),
                truncation=parent.truncation, background=parent.background, attempt=parent.attempt, **asked.how.options,
            )  # fmt: skip
        with drawn as generation:
            deliver(generation, order, what, shlex.join([*words, *how_words(order), "-o", str(order.out)]))


def _check(asked: Variations) -> None:
    """Raises Problem for a flag that would do nothing."""
    unused, how = (("strength",), "without") if asked.direction is None else (("radius", "seed"), "with")
    for name in unused:
        if getattr(asked, name) is not None:
            raise Problem(f"--{name}: does nothing {how} --direction; leave it out", code=BAD_INPUT)


def _along(mix: Mix, asked: Variations, strength: float) -> Walk:
    """Equal steps along a direction, the work itself in the middle of an odd number. Raises Problem."""
    from unikat.recipes.mix import mix_of
    from unikat.recipes.sequence import Walk

    if asked.count < 2:
        raise Problem(f"--count: must be at least 2 along a direction, not {asked.count}", code=BAD_INPUT)
    both = (-strength, strength)
    try:
        ends = [mix_of(mix.points, [*mix.shifts, (str(asked.direction), by)]) for by in both]
    except ValueError as error:
        raise Problem(f"--strength: {error}", code=BAD_INPUT) from error
    return Walk(tuple(ends), asked.count)


@dataclass(frozen=True)
class Crossing:
    """What `unikat cross` is told."""

    work: Work
    other: Work
    share: Annotated[float, typer.Option(help="How much of the second: 0 (the first itself) to 1 (the second).")] = 0.5
    how: Delivered = Delivered()


def cross(asked: Crossing) -> None:
    """Draw what lies between two works of one model. Conditions that differ are blended."""
    one, other = (_with(work.read_work(each).recipe, asked.how.where) for each in (asked.work, asked.other))
    words = ["unikat", "cross", one.link, other.link, "--share", f"{asked.share!r}"]
    order = asked.how.order(one, 1, sheet=False)
    with connect(asked.how.at, flag=flag_of) as studio:
        studio.model(one.model)
        with studio.cross(one, other, asked.share, **asked.how.options) as generation:
            deliver(generation, order, "a cross", shlex.join([*words, *how_words(order), "-o", str(order.out)]))


def _with(recipe: ArtworkRecipe, where: list[str] | None) -> ArtworkRecipe:
    from unikat.cli.where import parse_where

    return replace(recipe, where={**recipe.where, **parse_where(where or [])})
