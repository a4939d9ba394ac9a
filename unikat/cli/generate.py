"""`unikat generate`: draw images into a folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from unikat.cli import options
from unikat.cli.estimate import EstimateOnly, PricePerHour, tell
from unikat.cli.output import counted, print_json, progress, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect, explain, flag_of
from unikat.cli.where import describe, format_where, parse_where, typed_flag
from unikat.files import write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from unikat.artwork import Artwork, Refused
    from unikat.client import Studio
    from unikat.estimate import Estimate
    from unikat.request import Where
    from unikat.resuming import Generation

T = TypeVar("T")

SHEET: Final = re.compile(r"sheet(-[0-9]+)?\.png")  # names of contact sheets
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
    count: Annotated[
        int | None, typer.Option("--count", "-n", help="Number of images: 16 if not given, and 1 of a recipe.")
    ] = None
    first_index: Annotated[
        int, typer.Option(help="Index of the first image: draws any images of a seed without those before.")
    ] = 0
    seed: options.Seed = None
    recipe: Annotated[
        str | None,
        typer.Option(help="Latent in place of a seed: 7:3*0.8,9:0*0.6,shift:2*1.5 mixes two images and moves the mix."),
    ] = None
    truncation: options.Truncation = None
    format: options.Format = "png"
    background: options.Background = ""
    credentials: options.Credentials = "none"
    originality: options.Originality = None
    attempt: Annotated[int, typer.Option(help="Attempt to begin with: draws an artwork of a later attempt again.")] = 0
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images.")] = Path("out")
    sheet: Annotated[
        bool, typer.Option(help="Also write a contact sheet: sheet.png, or sheet-2.png where one is there.")
    ] = True
    request_id: Annotated[str | None, typer.Option(help="Makes the call idempotent: the same id joins its job.")] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line: every image, then all.")] = (
        False
    )
    estimate: EstimateOnly = False
    price_per_hour: PricePerHour = None
    at: options.Service = options.SERVICE

    @property
    def asked(self) -> int:
        """How many images are asked for: a recipe has one."""
        return (16 if self.recipe is None else 1) if self.count is None else self.count

    @cached_property
    def conditions(self) -> Where:
        """`where` as `Studio.generate` takes it. Raises Problem."""
        return parse_where(self.where or [])


@dataclass
class Kept:
    """What has arrived: files, and the pictures for the sheet."""

    files: list[Path] = field(default_factory=list)
    tiles: list[tuple[Artwork, Image]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def generate(order: Order) -> None:
    """Draw images, and say how to draw the same ones again."""
    with connect(order.at, flag=partial(typed_flag, order.conditions)) as studio:
        studio.model(order.model)  # whoever mistyped the target is told at once
        if order.estimate:
            tell(_estimated(studio, order), order.price_per_hour, order.as_json)
            return
        with studio.generate(
            order.model, order.conditions, count=order.asked, first_index=order.first_index, seed=order.seed,
            recipe=order.recipe, truncation=order.truncation, format=order.format, background=order.background,
            credentials=order.credentials, originality=order.originality, attempt=order.attempt,
            request_id=order.request_id,
        ) as generation:  # fmt: skip
            accepted = generation.accepted
            seed = f"seed {accepted.seed}" if order.recipe is None else f"recipe {order.recipe}"
            deliver(generation, order, seed, _command(order, accepted.model, accepted.seed))


def _estimated(studio: Studio, order: Order) -> Estimate:
    return studio.estimate(
        order.model, order.conditions, count=order.asked, first_index=order.first_index, seed=order.seed,
        recipe=order.recipe, truncation=order.truncation, format=order.format, background=order.background,
        credentials=order.credentials, originality=order.originality, attempt=order.attempt,
    )  # fmt: skip


def deliver(generation: Generation, order: Order, what: str, again: str) -> None:
    """Write images as they arrive, and say `what` they are of, and how the same are drawn `again`."""
    _report(generation, order, _receive(generation, order), (what, again))


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
        with progress(f"Drawing {accepted.model}", accepted.count, order.as_json) as show:
            for artwork in generation:
                path = order.out / file_name(accepted.model, artwork)
                kept.files.append(_write(partial(artwork.save, path), path))
                kept.links += [] if kept.links else [artwork.recipe.link]
                if order.sheet and len(kept.tiles) < SHEET_LIMIT:
                    kept.tiles.append((artwork, artwork.image()))
                if order.as_json:
                    print_json(_as_dict(artwork, kept.files[-1]))
                show(len(kept.files) + len(generation.refused), accepted.count)
    except (UnikatError, Problem) as error:
        problem = error if isinstance(error, Problem) else explain(error, flag_of)
        if kept.files:
            problem.hints.append(f"{len(kept.files)} of {accepted.count} images had arrived: they are in {order.out}/.")
        raise problem from error
    return kept


def file_stem(model: str, seed: int, index: int) -> str:
    """What an artwork of "emoji@2" is called among those of its call: "emoji-s7-00003"."""
    return f"{model.partition('@')[0]}-s{seed}-{index:05}"


def file_name(model: str, artwork: Artwork) -> str:
    """Of an artwork's file: no other picture has it, whatever its model's version, conditions and background."""
    if artwork.mix is not None:
        return f"{model}-{artwork.index:05}-{artwork.id[:ID_DIGITS]}{artwork.suffix}"
    return f"{model}-s{artwork.seed}-{artwork.index:05}-{artwork.id[:ID_DIGITS]}{artwork.suffix}"


def _write(write: Callable[[], T], path: Path) -> T:
    try:
        return write()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror or error}") from error


def _as_dict(artwork: Artwork, file: Path) -> dict[str, object]:
    from unikat.artwork import SIDECAR
    from unikat.recipes.text import text_of

    apart = {"data", "renderer", "timings", "accepted", "credentials", "mix"}
    facts = {name: value for name, value in vars(artwork).items() if name not in apart}
    facts |= {"digest": artwork.digest.hex(), "pixels_digest": artwork.pixels_digest.hex()}
    facts["originality"] = asdict(artwork.originality) if artwork.originality else None
    facts["recipe"], facts["link"] = text_of(artwork.recipe.mix), artwork.recipe.link
    sidecar = {"sidecar": str(file.with_suffix(SIDECAR))} if artwork.credentials else {}
    return {
        "event": "artwork", "file": str(file), **sidecar, **facts,
        "renderer": asdict(artwork.renderer), "timings": asdict(artwork.timings),
    }  # fmt: skip


def _report(generation: Generation, order: Order, kept: Kept, said: tuple[str, str]) -> None:
    accepted, finished = generation.accepted, generation.finished
    what, again = said
    sheet = None
    if order.sheet and kept.tiles:
        picture = draw_sheet(order, accepted.model, what, kept)
        sheet = _write(partial(write_sheet, order.out, picture), order.out)
    elapsed = finished.elapsed if finished is not None else 0.0
    if order.as_json:
        facts = {"model": accepted.model, "model_digest": accepted.model_digest, "seed": accepted.seed}
        for refused in generation.refused:
            print_json({"event": "refused", **vars(refused), "digest": refused.digest.hex()})
        last = {
            "event": "finished",
            "count": len(kept.files),
            "refused": len(generation.refused),
            "elapsed": elapsed,
            "again": again,
            **facts,
        }
        print_json(last | {"sheet": str(sheet) if sheet else None})
        return
    console = stdout()
    drawn = counted(len(kept.files), "image")
    where = f": {kept.files[0]} ..." if kept.files else ""
    console.print(f"{drawn} of {accepted.model} in {elapsed:.2f} s{where}", markup=False)
    _print_refused(generation.refused)
    if sheet is not None:
        console.print(f"Contact sheet: {sheet}", markup=False)
    console.print(f"{what[:1].upper()}{what[1:]}. The same again: {again}", markup=False)
    if order.recipe is not None and kept.links:
        console.print(f"Link: {kept.links[0]}", markup=False)


def _print_refused(refused: Sequence[Refused]) -> None:
    """How many images were not delivered, and for each reason one example."""
    for reason in sorted({each.reason for each in refused}):
        some = [each for each in refused if each.reason == reason]
        text = f"{counted(len(some), 'image')} refused ({reason}), as image {some[0].index}: {some[0].detail}"
        stdout().print(text, style="yellow", markup=False)


def _command(order: Order, model: str, seed: int) -> str:
    words = ["unikat", "generate", model]
    for condition in format_where(order.conditions):
        words += ["--where", condition]
    words += ["-n", str(order.asked), "--seed", str(seed)] if order.recipe is None else ["--recipe", order.recipe]
    words += [] if order.first_index == 0 else ["--first-index", str(order.first_index)]
    words += [] if order.truncation is None else ["--truncation", f"{order.truncation!r}"]
    words += ["--background", order.background] if order.background else []
    words += [] if order.attempt == 0 else ["--attempt", str(order.attempt)]
    return shlex.join([*words, *how_words(order), "-o", str(order.out)])


def how_words(order: Order) -> list[str]:
    """Options for how images are delivered, whatever is drawn."""
    words = [] if order.format == "png" else ["--format", order.format]
    words += [] if order.credentials == "none" else ["--credentials", order.credentials]
    return words + ([] if order.originality is None else ["--originality", order.originality])


def write_sheet(folder: Path, picture: Image) -> Path:
    """Write sheet.png; where another file has that name sheet-2.png, and so on. Raises OSError."""
    from unikat.metadata import of_several

    buffer = BytesIO()
    picture.save(buffer, "PNG", pnginfo=of_several())
    data = buffer.getvalue()
    for number in count(1):
        path = folder / ("sheet.png" if number == 1 else f"sheet-{number}.png")
        if not path.exists():
            write_whole(path, data)
            return path
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return path
    raise AssertionError  # numbers do not end


def draw_sheet(order: Order, model: str, what: str, kept: Kept) -> Image:
    """The contact sheet: what was asked for above, under each image what was left open and came out."""
    from unikat.sheet import Sheet, grid

    asked = ", ".join(f"{name}: {describe(value)}" for name, value in order.conditions.items())
    left_out = order.asked - len(kept.tiles)
    note = f"{model}, {what}" + (f", the first {len(kept.tiles)} of {order.asked}" if left_out > 0 else "")
    captions = grid([_caption(artwork, order.conditions) for artwork, _ in kept.tiles])
    return Sheet(grid([tile for _, tile in kept.tiles]), asked or model, note, captions=captions).draw()


def _caption(artwork: Artwork, asked: Where) -> str:
    drawn = [describe(value) for name, value in artwork.conditions.items() if name not in asked]
    return "\n".join([" ".join([str(artwork.index), *drawn[:1]]), *drawn[1:CAPTION_LINES]])
