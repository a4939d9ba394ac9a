"""`unikat series`: the same subjects in one style and palette, as banners of many sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from unikat.cli import options
from unikat.cli.generate import file_name, write_sheet
from unikat.cli.output import counted, progress, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect
from unikat.cli.where import describe
from unikat.files import write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from unikat.artwork import Artwork
    from unikat.client import Studio
    from unikat.series.banner import Banners
    from unikat.series.spec import Series
    from unikat.v1.model_pb2 import Model

MAX_SPEC: Final = 2**20  # bytes
DRAWINGS: Final = "drawings"  # folder of the artworks themselves
LIST: Final = "series.json"
THUMBNAIL: Final = 256  # pixels of a banner on the contact sheet
SHEET_ROWS: Final = 40


@dataclass
class Made:
    """What has been made: an entry of the list a banner, and rows of the sheet."""

    entries: list[dict[str, object]] = field(default_factory=list)
    rows: list[tuple[str, list[Image]]] = field(default_factory=list)


def series(
    spec: Annotated[Path, typer.Argument(metavar="FILE", help="The series, as TOML (docs/films-and-series.md).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files.")] = Path("series"),
    at: options.Service = options.SERVICE,
) -> None:
    """Draw subjects in one style, and put each on banners of all sizes, in the colours of a palette."""
    from unikat.palette import Palette
    from unikat.series.banner import Banners

    wanted = _read(spec)
    banners = Banners(wanted.scaling, Palette(wanted.palette) if wanted.palette else None)
    with connect(at, flag=lambda name: f"{spec}: {name}") as studio:
        model = studio.model(wanted.model)
        _check(wanted, model, banners, spec)
        (out / DRAWINGS).mkdir(parents=True, exist_ok=True)
        made = _make(studio, wanted, model, banners, out)
    write_whole(out / LIST, (json.dumps(made.entries, indent=1, ensure_ascii=False) + "\n").encode())
    sheet = write_sheet(out, _sheet(wanted, made, f"{model.name}@{model.version}"))
    console = stdout()
    console.print(f"{counted(len(made.entries), 'banner')}, and from what each was made: {out / LIST}", markup=False)
    console.print(f"Contact sheet: {sheet}", markup=False)


def _read(spec: Path) -> Series:
    from unikat.bundle import read_bounded
    from unikat.series.spec import SpecError, parse_series

    try:
        return parse_series(read_bounded(spec, MAX_SPEC))
    except SpecError as error:
        raise Problem(f"{spec}: {error}", code=BAD_INPUT) from error
    except ValueError as error:
        raise Problem(f"FILE {spec}: {error}", code=BAD_INPUT) from error


def _check(wanted: Series, model: Model, banners: Banners, spec: Path) -> None:
    """Compare a series with its model, before anything is drawn. Raises Problem that names the key."""
    from unikat.conditions import FieldError, check_conditions
    from unikat.request import conditions_of

    tables = {"conditions": wanted.conditions}
    tables |= {f"subjects.{name}": subject.where for name, subject in wanted.subjects.items()}
    for table, where in tables.items():
        for attribute, value in where.items():
            try:
                check_conditions(model, conditions_of({attribute: value}))
            except FieldError as error:
                raise Problem(f"{spec}: {table}.{attribute}: {error.message}", code=BAD_INPUT) from error
    for name, size in wanted.sizes.items():
        try:
            banners.factor((model.width, model.height), size)
        except ValueError as error:
            raise Problem(f"{spec}: sizes.{name}: {error}", code=BAD_INPUT) from error


def _make(studio: Studio, wanted: Series, model: Model, banners: Banners, out: Path) -> Made:
    made = Made()
    total = wanted.count * len(wanted.subjects)
    with progress(f"Drawing {wanted.model}", total) as show:
        for subject, number, artwork in _drawn(studio, wanted, model):
            ground = wanted.grounds[number % len(wanted.grounds)]
            file = artwork.save(out / DRAWINGS / file_name(f"{model.name}@{model.version}", artwork))
            drawing, shown = artwork.image(), []
            for name, size in wanted.sizes.items():
                banner = banners.make(drawing, size, ground)
                path = out / f"{subject}-{number:03}-{name}.png"
                changes = _changes(wanted, banners.factor(drawing.size, size), ground)
                made.entries.append(_write(path, banner, artwork, f"{model.name}@{model.version}", changes))
                made.entries[-1] |= {"subject": subject, "size": name, "drawing": str(file.relative_to(out))}
                shown.append(_thumbnail(banner))
            if len(made.rows) < SHEET_ROWS:
                made.rows.append((f"{subject} {number}", shown))
            show(len(made.entries) // len(wanted.sizes), total)
    return made


def _drawn(studio: Studio, wanted: Series, model: Model) -> Iterator[tuple[str, int, Artwork]]:
    """Subject, number and artwork of every drawing. Raises Problem where one is not delivered."""
    from unikat.bundle import RGBA

    for name, subject in wanted.subjects.items():
        with studio.generate(
            f"{model.name}@{model.version}", {**wanted.conditions, **subject.where}, count=wanted.count,
            first_index=subject.first_index, seed=wanted.seed, truncation=wanted.truncation,
            background="none" if model.channels == RGBA else "",
        ) as generation:  # fmt: skip
            for artwork in generation:
                yield name, artwork.index - subject.first_index, artwork
            for refused in generation.refused:
                number = refused.index - subject.first_index
                raise Problem(f"drawing {number} of {name} is not delivered ({refused.reason}): {refused.detail}")


def _changes(wanted: Series, factor: float, ground: str) -> str:
    """What was done to a drawing, in words."""
    from unikat.background import NONE

    how = "by whole pixels" if wanted.scaling == "pixels" else "smoothly"
    parts = [f"scaled {how} to {factor:.4g} times its size"]
    parts += ["outlines sharpened"] if wanted.scaling == "smooth" and wanted.palette and factor > 1 else []
    parts += [f"its colours replaced by the nearest of {', '.join(wanted.palette)}"] if wanted.palette else []
    parts += ["placed on nothing" if ground == NONE else f"placed on {ground}"]
    return f"Made from an artwork: {'; '.join(parts)}. Its watermark may be gone."


def _write(path: Path, banner: Image, artwork: Artwork, model: str, changes: str) -> dict[str, object]:
    """Write a banner, and return what the list says of it."""
    from unikat.metadata import Derivation, png_info, read_statement

    statement = read_statement(artwork.data)
    prompt = statement.prompt if statement else ""
    derivation = Derivation(model, artwork.model_digest, prompt, changes, artwork.digest)
    buffer = BytesIO()
    banner.save(buffer, "PNG", pnginfo=png_info(derivation.packet))
    write_whole(path, buffer.getvalue())
    recipe = {
        "model": model, "model_digest": artwork.model_digest, "seed": str(artwork.seed), "index": artwork.index,
        "attempt": artwork.recipe.attempt,
        "conditions": artwork.conditions, "truncation": artwork.truncation, "background": artwork.background,
    }  # fmt: skip
    return {
        "file": path.name, "width": banner.width, "height": banner.height, "changes": changes,
        "made_from": artwork.digest.hex(), "recipe": recipe,
    }  # fmt: skip


def _thumbnail(banner: Image) -> Image:
    """A banner in the middle of a square, so that all on a sheet have one size."""
    from PIL import Image

    small = banner.convert("RGBA")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    tile = Image.new("RGBA", (THUMBNAIL, THUMBNAIL))
    tile.paste(small, ((THUMBNAIL - small.width) // 2, (THUMBNAIL - small.height) // 2))
    return tile


def _sheet(wanted: Series, made: Made, model: str) -> Image:
    from unikat.sheet import Sheet

    title = ", ".join(f"{name}: {describe(value)}" for name, value in wanted.conditions.items()) or model
    left_out = wanted.count * len(wanted.subjects) - len(made.rows)
    note = f"{model}, seed {wanted.seed}" + (f"; {left_out} more drawings are not shown" if left_out else "")
    labels = [f"{name} {size.width}x{size.height}" for name, size in wanted.sizes.items()]
    return Sheet([row for _, row in made.rows], title, note, [label for label, _ in made.rows], labels).draw()
