"""`unikat animate`: a walk between latents, as a film."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from unikat.cli import options
from unikat.cli.keyframes import FORM, Keyframe, common_recipe, read_keyframe
from unikat.cli.output import counted, progress, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect
from unikat.cli.where import format_where, parse_where, typed_flag

if TYPE_CHECKING:
    from PIL.Image import Image

    from unikat.artwork import Accepted
    from unikat.film.formats import Encoder
    from unikat.film.reel import Film
    from unikat.recipes.sequence import Walk
    from unikat.resuming import Generation

SIDE: Final = 256  # pixels that a film has at least: players enlarge smaller ones smoothly
MAX_FRAMES: Final = 4096  # a service's limit of a call


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
    """Draw a walk from one latent to others, frame by frame, and write it as a film."""
    from unikat.background import is_opaque
    from unikat.recipes.artwork import ArtworkRecipe
    from unikat.recipes.sequence import Walk
    from unikat.request import sent_where

    encoder, keyframes = _encoder(order.out), _keyframes(order)
    named = ArtworkRecipe(
        order.model, keyframes[0].mix, parse_where(order.where or []), order.truncation, order.background or ""
    )
    common = common_recipe(named, keyframes)
    walk = Walk(tuple(each.mix for each in keyframes), order.frames, order.loop, order.easing == "smooth")
    with connect(order.at, flag=partial(typed_flag, common.where)) as studio:
        model = studio.model(common.model)
        factor = order.scale or math.ceil(SIDE / min(model.width, model.height))
        with studio.generate(
            common.model, sent_where(common.where), walk=walk,
            truncation=common.truncation, background=common.background, attempt=common.attempt,
        ) as generation:  # fmt: skip
            accepted = generation.accepted
            mode = "RGB" if is_opaque(accepted.background) else "RGBA"
            if mode == "RGBA" and order.out.suffix.lower() == ".mp4":
                raise Problem(f"--background {common.background}: MP4 has no alpha", code=BAD_INPUT)
            film = _film(order, walk, accepted, (model.width * factor, model.height * factor), mode)
            with progress(f"Drawing {accepted.model}", order.frames) as show:
                frames = _frames(generation, film, lambda done: show(done, order.frames))
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


def _film(order: Order, walk: Walk, accepted: Accepted, size: tuple[int, int], mode: str) -> Film:
    from unikat.film.reel import Film
    from unikat.metadata import Derivation
    from unikat.recipes.text import shortest

    recipe = {
        "model": accepted.model, "walk": walk.to_json(), "conditions": accepted.conditions,
        "truncation": shortest(accepted.truncation), "background": accepted.background, "fps": order.fps,
    }  # fmt: skip
    lossless = order.out.suffix.lower() == ".png"
    changes = (
        f"A film of {order.frames} artworks, the frames of a walk between latents, enlarged by whole pixels to "
        f"{size[0]} x {size[1]}" + (", without loss." if lossless else ", encoded with loss.")
    )
    derivation = Derivation(accepted.model, accepted.model_digest, json.dumps(recipe, ensure_ascii=False), changes)
    return Film(size, mode, order.frames, order.fps, order.loop, derivation.packet)


def _frames(generation: Generation, film: Film, show: Callable[[int], None]) -> Iterator[Image]:
    """The frames as they arrive, enlarged. Raises Problem where one is not delivered."""
    from PIL import Image

    for artwork in generation:
        _check_delivered(generation)
        yield artwork.image().convert(film.mode).resize(film.size, Image.Resampling.NEAREST)
        show(artwork.index + 1)
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
