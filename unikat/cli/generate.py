"""`unikat generate`: draw images into a folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from unikat.cli import options
from unikat.cli.output import counted, print_json, progress, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect, explain, flag_of
from unikat.cli.where import describe, format_where, parse_where, typed_flag
from unikat.files import write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from unikat.artwork import Artwork
    from unikat.request import Where
    from unikat.resuming import Generation

T = TypeVar("T")

SHEET: Final = "sheet.png"
SHEET_LIMIT: Final = 400  # images on a sheet; more cannot be told apart
CAPTION_LINES: Final = 3
ID_DIGITS: Final = 8  # of an artwork's id in the name of its file


@dataclass(frozen=True)
class Order:
    """What was asked for, and where it goes."""

    model: options.Reference
    where: Annotated[
        list[str] | None,
        typer.Option(help="Condition: attribute=category, or a blend attribute=one:0.7,other:0.3. Repeat it."),
    ] = None
    count: Annotated[int, typer.Option("--count", "-n", help="Number of images.")] = 16
    first_index: Annotated[
        int, typer.Option(help="Index of the first image: draws any images of a seed without those before.")
    ] = 0
    seed: options.Seed = None
    truncation: options.Truncation = None
    format: options.Format = "png"
    background: options.Background = ""
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images.")] = Path("out")
    sheet: Annotated[bool, typer.Option(help=f"Also write a contact sheet, {SHEET}.")] = True
    request_id: Annotated[str | None, typer.Option(help="Makes the call idempotent: the same id joins its job.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line: every image, then all.")] = (
        False
    )
    at: options.Service = options.SERVICE

    @cached_property
    def conditions(self) -> Where:
        """`where` as `Studio.generate` takes it. Raises Problem."""
        return parse_where(self.where or [])


@dataclass
class Kept:
    """What has arrived: files, and the pictures for the sheet."""

    files: list[Path] = field(default_factory=list)
    tiles: list[tuple[Artwork, Image]] = field(default_factory=list)


def generate(order: Order) -> None:
    """Draw images, and say how to draw the same ones again."""
    with connect(order.at, flag=partial(typed_flag, order.conditions)) as studio:
        studio.model(order.model)  # whoever mistyped the target is told at once
        with studio.generate(
            order.model, order.conditions, count=order.count, first_index=order.first_index, seed=order.seed,
            truncation=order.truncation, format=order.format, background=order.background, request_id=order.request_id,
        ) as generation:  # fmt: skip
            kept = _receive(generation, order)
            _report(generation, order, kept)


def _receive(generation: Generation, order: Order) -> Kept:
    """Write every image as it arrives. What has arrived stays, whatever happens to the rest."""
    from unikat.errors import UnikatError

    kept = Kept()
    accepted = generation.accepted
    try:
        order.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"--out {order.out}: {error.strerror}", code=BAD_INPUT) from error
    try:
        with progress(f"Drawing {accepted.model}", order.count, order.as_json) as show:
            for artwork in generation:
                path = order.out / file_name(accepted.model, artwork)
                kept.files.append(_write(partial(artwork.save, path), path))
                if order.sheet and len(kept.tiles) < SHEET_LIMIT:
                    kept.tiles.append((artwork, artwork.image()))
                if order.as_json:
                    print_json(_as_dict(artwork, kept.files[-1]))
                show(len(kept.files), order.count)
    except (UnikatError, Problem) as error:
        problem = error if isinstance(error, Problem) else explain(error, flag_of)
        if kept.files:
            problem.hints.append(f"{len(kept.files)} of {order.count} images had arrived: they are in {order.out}/.")
        raise problem from error
    return kept


def file_stem(model: str, seed: int, index: int) -> str:
    """What an artwork of "emoji@2" is called among those of its call: "emoji-s7-00003"."""
    return f"{model.partition('@')[0]}-s{seed}-{index:05}"


def file_name(model: str, artwork: Artwork) -> str:
    """Of an artwork's file: no other picture has it, whatever its model's version, conditions and background."""
    return f"{model}-s{artwork.seed}-{artwork.index:05}-{artwork.id[:ID_DIGITS]}{artwork.suffix}"


def _write(write: Callable[[], T], path: Path) -> T:
    try:
        return write()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror or error}") from error


def _as_dict(artwork: Artwork, file: Path) -> dict[str, object]:
    apart = {"data", "renderer", "timings", "accepted"}
    facts = {name: value for name, value in vars(artwork).items() if name not in apart}
    return {
        "event": "artwork", "file": str(file), **facts,
        "renderer": asdict(artwork.renderer), "timings": asdict(artwork.timings),
    }  # fmt: skip


def _report(generation: Generation, order: Order, kept: Kept) -> None:
    accepted, finished = generation.accepted, generation.finished
    sheet = order.out / SHEET if order.sheet else None
    if sheet is not None:
        picture = BytesIO()
        draw_sheet(order, accepted.model, accepted.seed, kept).save(picture, "PNG")
        _write(partial(write_whole, sheet, picture.getvalue()), sheet)
    again = _command(order, accepted.model, accepted.seed)
    elapsed = finished.elapsed if finished is not None else 0.0
    if order.as_json:
        facts = {"model": accepted.model, "model_digest": accepted.model_digest, "seed": accepted.seed}
        last = {"event": "finished", "count": len(kept.files), "elapsed": elapsed, "again": again, **facts}
        print_json(last | {"sheet": str(sheet) if sheet else None})
        return
    console = stdout()
    drawn = counted(len(kept.files), "image")
    console.print(f"{drawn} of {accepted.model} in {elapsed:.2f} s: {kept.files[0]} ...", markup=False)
    if sheet is not None:
        console.print(f"Contact sheet: {sheet}", markup=False)
    console.print(f"Seed {accepted.seed}. The same again: {again}", markup=False)


def _command(order: Order, model: str, seed: int) -> str:
    words = ["unikat", "generate", model]
    for condition in format_where(order.conditions):
        words += ["--where", condition]
    words += ["-n", str(order.count), "--seed", str(seed)]
    words += [] if order.first_index == 0 else ["--first-index", str(order.first_index)]
    words += [] if order.truncation is None else ["--truncation", f"{order.truncation!r}"]
    words += [] if order.format == "png" else ["--format", order.format]
    words += ["--background", order.background] if order.background else []
    return shlex.join([*words, "-o", str(order.out)])


def draw_sheet(order: Order, model: str, seed: int, kept: Kept) -> Image:
    """The contact sheet: what was asked for above, under each image what was left open and came out."""
    from unikat.sheet import Sheet, grid

    asked = ", ".join(f"{name}: {describe(value)}" for name, value in order.conditions.items())
    left_out = order.count - len(kept.tiles)
    note = f"{model}, seed {seed}" + (f", the first {len(kept.tiles)} of {order.count}" if left_out > 0 else "")
    captions = grid([_caption(artwork, order.conditions) for artwork, _ in kept.tiles])
    return Sheet(grid([tile for _, tile in kept.tiles]), asked or model, note, captions=captions).draw()


def _caption(artwork: Artwork, asked: Where) -> str:
    drawn = [describe(value) for name, value in artwork.conditions.items() if name not in asked]
    return "\n".join([" ".join([str(artwork.index), *drawn[:1]]), *drawn[1:CAPTION_LINES]])
