"""`unikat animate`: a walk between latents, or between works whose conditions differ, as a film."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer

from unikat.cli import options
from unikat.cli.keyframes import FORM, Keyframe, read_keyframe, stations
from unikat.cli.output import counted, progress, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect
from unikat.cli.where import format_where, parse_where, typed_flag

if TYPE_CHECKING:
    from PIL.Image import Image

    from unikat.artwork import Accepted, Artwork
    from unikat.client import Studio
    from unikat.film.formats import Encoder
    from unikat.film.reel import Film
    from unikat.recipes.artwork import ArtworkRecipe
    from unikat.resuming import Generation
    from unikat.v1.model_pb2 import Model

SIDE: Final = 256  # pixels that a film has at least: players enlarge smaller ones smoothly
MAX_FRAMES: Final = 4096  # a service's limit of a call
AHEAD: Final = 16  # frames that are calls of their own and drawn at the same time
# The call as it was resolved, what the film is drawn from, and its frames.
Drawn: TypeAlias = "tuple[Accepted, dict[str, object], Iterator[Artwork]]"


@dataclass(frozen=True)
class Order:
    """What is drawn, and how it becomes a film."""

    model: options.Reference
    start: Annotated[str, typer.Option("--from", help=f"Where the walk begins: {FORM}.")]
    to: Annotated[list[str], typer.Option(help="Where it goes, in the same form. Repeat it to pass more.")]
    frames: Annotated[int, typer.Option(min=2, max=MAX_FRAMES, help="Number of frames.")] = 64
    fps: Annotated[int, typer.Option(min=1, max=60, help="Frames a second.")] = 16
    loop: Annotated[bool, typer.Option("--loop", help="Go back to the beginning, and show it again and again.")] = False
    easing: Annotated[
        Literal["linear", "smooth"], typer.Option(help="At constant speed, or slow where it passes what --to says.")
    ] = "linear"
    where: Annotated[
        list[str] | None, typer.Option(help="Condition: attribute=category, or attribute=one:0.7,other:0.3. Repeat it.")
    ] = None
    truncation: options.Truncation = None
    background: options.Background = ""
    scale: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Makes a pixel a square of so many.", show_default=f"at least {SIDE} pixels"),
    ] = None
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File: .webp, .png (APNG, without loss) or .mp4 (AV1, no alpha).")
    ] = Path("walk.webp")
    at: options.Service = options.SERVICE


def animate(order: Order) -> None:
    """Draw a walk from one work or latent to others, frame by frame, and write it as a film.

    Conditions that differ are blended on the way.
    """
    from unikat.background import is_opaque
    from unikat.recipes.artwork import ArtworkRecipe

    encoder, keyframes = _encoder(order.out), _keyframes(order)
    named = ArtworkRecipe(
        order.model, keyframes[0].mix, parse_where(order.where or []), order.truncation, order.background or ""
    )
    works = stations(named, keyframes)
    with connect(order.at, flag=partial(typed_flag, works[0].where)) as studio:
        model = studio.model(works[0].model)
        works = [replace(each, model=f"{model.name}@{model.version}") for each in works]
        factor = order.scale or math.ceil(SIDE / min(model.width, model.height))
        is_walk = all(replace(each, mix=works[0].mix) == works[0] for each in works)
        if not is_walk:
            _check_works(model, keyframes, works, order.loop)
        with (_walked if is_walk else _crossed)(studio, order, works) as (accepted, recipe, drawn):
            mode = "RGB" if is_opaque(accepted.background) else "RGBA"
            if mode == "RGBA" and order.out.suffix.lower() == ".mp4":
                raise Problem(f"--background {works[0].background}: MP4 has no alpha", code=BAD_INPUT)
            film = _film(order, recipe, accepted, (model.width * factor, model.height * factor), mode)
            with progress(f"Drawing {accepted.model}", order.frames) as show:
                frames = _frames(drawn, film, lambda done: show(done, order.frames))
                _write(order.out, partial(encoder, film, frames))
    seconds = order.frames / order.fps
    console = stdout()
    console.print(f"{counted(order.frames, 'frame')}, {seconds:.1f} s: {order.out}", markup=False)
    console.print(f"The same again: {_command(order, accepted, keyframes)}", markup=False)


def _encoder(out: Path) -> Encoder:
    from unikat.film.formats import encoder_of

    try:
        return encoder_of(out)
    except ValueError as error:
        raise Problem(f"--out {out}: {error}", code=BAD_INPUT) from error


def _keyframes(order: Order) -> list[Keyframe]:
    typed = [("--from", order.start), *(("--to", text) for text in order.to)]
    return [read_keyframe(flag, text) for flag, text in typed]


def _check_works(model: Model, keyframes: list[Keyframe], works: list[ArtworkRecipe], is_loop: bool) -> None:
    """Raises Problem for a work whose conditions the model does not have, and for two that cannot be crossed."""
    from unikat.conditions import FieldError, check_conditions
    from unikat.request import conditions_of

    for each in keyframes:
        try:
            check_conditions(model, conditions_of(each.work.where if each.work else {}))
        except FieldError as error:
            raise Problem(f"{each.flag} {each.typed}: {error.message}", code=BAD_INPUT) from error
    ways = list(zip(works, works[1:] + works[:1], keyframes[1:] + keyframes[:1], strict=True))
    for one, other, to in ways if is_loop else ways[:-1]:
        try:
            one.crossed(other)
        except ValueError as error:
            raise Problem(f"{to.flag} {to.typed}: {error}", code=BAD_INPUT) from error


@contextmanager
def _walked(studio: Studio, order: Order, works: Sequence[ArtworkRecipe]) -> Iterator[Drawn]:
    """One call: the works differ in their latents alone."""
    from unikat.recipes.sequence import Walk
    from unikat.recipes.text import shortest
    from unikat.request import sent_where

    one = works[0]
    walk = Walk(tuple(each.mix for each in works), order.frames, order.loop, order.easing == "smooth")
    with studio.generate(
        one.model, sent_where(one.where), walk=walk,
        truncation=one.truncation, background=one.background, attempt=one.attempt,
    ) as generation:  # fmt: skip
        accepted = generation.accepted
        recipe = {
            "model": accepted.model, "walk": walk.to_json(), "conditions": accepted.conditions,
            "truncation": shortest(accepted.truncation), "background": accepted.background,
        }  # fmt: skip
        yield accepted, recipe, _delivered(generation)


@contextmanager
def _crossed(studio: Studio, order: Order, works: Sequence[ArtworkRecipe]) -> Iterator[Drawn]:
    """A call for each frame: a cross of the works beside it."""
    with ThreadPoolExecutor(AHEAD) as pool:
        try:
            # Conditions that a work leaves out depend on those that are said: looked up here, they are blended, too.
            drawn = list(pool.map(lambda work: _draw(studio, work, work.link), works))
            frames = _in_order(studio, order, works, drawn, pool)
            accepted = drawn[0].accepted
            assert accepted is not None  # `draw` sets it
            links = [each.recipe.link for each in drawn]
            yield accepted, {"works": links, "frames": order.frames, "loop": order.loop, "easing": order.easing}, frames
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _draw(studio: Studio, work: ArtworkRecipe, what: str) -> Artwork:
    """Raises Problem where it is not delivered."""
    from unikat.errors import WrongState
    from unikat.request import sent_where

    try:
        return studio.draw(
            work.model, sent_where(work.where), recipe=work.mix,
            truncation=work.truncation, background=work.background, attempt=work.attempt,
        )  # fmt: skip
    except WrongState as error:
        raise Problem(f"{what} is not delivered: {error}") from error


def _in_order(
    studio: Studio, order: Order, works: Sequence[ArtworkRecipe], drawn: Sequence[Artwork], pool: ThreadPoolExecutor
) -> Iterator[Artwork]:
    """The frames; `drawn` are the works, which are some of them."""
    from unikat.recipes.sequence import place_of

    whole = [replace(each.recipe, attempt=work.attempt) for each, work in zip(drawn, works, strict=True)]

    def draw(frame: int) -> Artwork:
        one, other, share = place_of(frame, len(works), order.frames, order.loop, order.easing == "smooth")
        return _draw(studio, whole[one].crossed(whole[other], share), f"frame {frame}") if share else drawn[one]

    ahead: deque[Future[Artwork]] = deque()
    for frame in range(order.frames):
        while len(ahead) < AHEAD and frame + len(ahead) < order.frames:
            ahead.append(pool.submit(draw, frame + len(ahead)))
        yield ahead.popleft().result()


def _film(order: Order, recipe: dict[str, object], accepted: Accepted, size: tuple[int, int], mode: str) -> Film:
    from unikat.film.reel import Film
    from unikat.metadata import Derivation

    lossless = order.out.suffix.lower() == ".png"
    changes = (
        f"A film of {order.frames} artworks, the frames of a walk, enlarged by whole pixels to "
        f"{size[0]} x {size[1]}" + (", without loss." if lossless else ", encoded with loss.")
    )
    derivation = Derivation(
        accepted.model, accepted.model_digest, json.dumps(recipe | {"fps": order.fps}, ensure_ascii=False), changes
    )
    return Film(size, mode, order.frames, order.fps, order.loop, derivation.packet)


def _frames(drawn: Iterator[Artwork], film: Film, show: Callable[[int], None]) -> Iterator[Image]:
    """The frames as they arrive, enlarged."""
    from PIL import Image

    for number, artwork in enumerate(drawn, 1):
        yield artwork.image().convert(film.mode).resize(film.size, Image.Resampling.NEAREST)
        show(number)


def _delivered(generation: Generation) -> Iterator[Artwork]:
    """Raises Problem where one is not."""
    for artwork in generation:
        _check_delivered(generation)
        yield artwork
    _check_delivered(generation)


def _check_delivered(generation: Generation) -> None:
    for refused in generation.refused:
        raise Problem(f"frame {refused.index} is not delivered ({refused.reason}): {refused.detail}")


def _write(path: Path, encode: Callable[..., None]) -> None:
    """Write a film; whoever reads the file meanwhile finds the one before or this one. Raises Problem."""
    beside = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            encode(file)
        beside.replace(path)
    except OSError as error:
        raise Problem(f"--out {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def _command(order: Order, accepted: Accepted, keyframes: list[Keyframe]) -> str:
    words = ["unikat", "animate", accepted.model]
    words += [word for each in keyframes for word in (each.flag, each.again)]
    words += ["--frames", str(order.frames), "--fps", str(order.fps)]
    words += (["--loop"] if order.loop else []) + (["--easing", order.easing] if order.easing != "linear" else [])
    words += [word for text in format_where(parse_where(order.where or [])) for word in ("--where", text)]
    words += [] if order.truncation is None else ["--truncation", f"{order.truncation!r}"]
    words += ["--background", order.background] if order.background else []
    words += [] if order.scale is None else ["--scale", str(order.scale)]
    return shlex.join([*words, "-o", str(order.out)])
