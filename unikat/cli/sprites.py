"""`unikat sprites`: an atlas of new drawings, or of pictures that are there, for game engines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from unikat.cli import options
from unikat.cli.generate import SHEET, file_stem
from unikat.cli.output import counted, progress, stderr, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect
from unikat.cli.where import format_where, parse_where, typed_flag

if TYPE_CHECKING:
    from unikat.artwork import Artwork
    from unikat.sprites import Sprite

PICTURES: Final = (".png", ".webp", ".jpg", ".jpeg")
# What `file_stem` makes, and files of `generate`, which have a version and an id as well.
_DRAWN: Final = re.compile(r"(?P<model>.+)-s(?P<seed>[0-9]+)-(?P<index>[0-9]{5,})(-[0-9a-f]{8})?")
_DRAWING: Final = ("where", "count", "first_index", "seed", "truncation", "background")
_SAID_AGAIN: Final = ("first_index", "truncation", "background", "padding", "extrude", "trim", "columns", "max_size")
_FACTS: Final = (
    "id", "model", "model_digest", "recipe", "seed", "index", "attempt", "truncation", "background", "conditions",
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What is packed, how, and where it goes."""

    source: Annotated[
        str,
        typer.Argument(metavar="MODEL|PATH", help="A model to draw with, or a picture or folder, batches included."),
    ]
    where: Annotated[
        list[str] | None, typer.Option(help="Condition: attribute=category, or attribute=one:0.7,other:0.3. Repeat it.")
    ] = None
    count: Annotated[int, typer.Option("--count", "-n", help="Number of images to draw.")] = 16
    first_index: Annotated[int, typer.Option(help="Index of the first image.")] = 0
    seed: options.Seed = None
    truncation: options.Truncation = None
    background: Annotated[
        str, typer.Option(help='As for `generate`; where the model has alpha, "none" if not given.')
    ] = ""
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the atlas.")] = Path("sprites")
    padding: Annotated[int, typer.Option(min=0, max=64, help="Pixels of nothing around each sprite.")] = 2
    extrude: Annotated[int, typer.Option(min=0, max=16, help="Pixels of its edge repeated around each sprite.")] = 0
    trim: Annotated[bool, typer.Option("--trim", help="Cut off what is transparent around each sprite.")] = False
    columns: Annotated[int | None, typer.Option(min=1, help="Sprites a row.", show_default="about as wide as high")] = (
        None
    )
    max_size: Annotated[
        int, typer.Option(min=64, max=16384, help="Width and height of an atlas (pixels); there are more if need be.")
    ] = 4096
    at: options.Service = options.SERVICE


def sprites(order: Order) -> None:
    """Write an atlas as Phaser and Godot read it: atlas.png, atlas.json (TexturePacker's), atlas.tres (Godot 4)."""
    from unikat.sprites import Packing, pack

    packing = Packing(order.padding, order.extrude, order.trim, order.columns, order.max_size)
    path = Path(order.source)
    found, again = (list(_there(order, path)), "") if path.exists() else _drawn(order)
    try:
        files = pack(found, packing)
    except ValueError as error:
        raise Problem(f"{order.source}: {error}", code=BAD_INPUT) from error
    try:
        order.out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (order.out / name).write_bytes(content)
    except OSError as error:
        raise Problem(f"--out {order.out}: {error.strerror}", code=BAD_INPUT) from error
    console = stdout()
    written = ", ".join(str(order.out / name) for name in files)
    console.print(f"{counted(len(found), 'sprite')}: {written}", markup=False)
    if again:
        console.print(f"The same again: {again}", markup=False)


def _drawn(order: Order) -> tuple[list[Sprite], str]:
    """New drawings, and the command that draws them again."""
    from unikat.bundle import RGBA

    conditions = parse_where(order.where or [])
    with connect(order.at, flag=partial(typed_flag, conditions)) as studio:
        alpha = studio.model(order.source).channels == RGBA
        if not alpha:
            stderr().print(f"{order.source} draws without alpha: its sprites have a ground", markup=False)
        background = order.background or ("none" if alpha else "")
        with studio.generate(
            order.source, conditions, count=order.count, first_index=order.first_index, seed=order.seed,
            truncation=order.truncation, background=background,
        ) as generation:  # fmt: skip
            accepted, found = generation.accepted, []
            with progress(f"Drawing {accepted.model}", order.count) as show:
                for artwork in generation:
                    found.append(_sprite_of(artwork, accepted.model))
                    show(len(found), order.count)
            if generation.refused:
                stderr().print(f"{len(generation.refused)} more were drawn and not delivered", markup=False)
    return found, _command(order, accepted.model, accepted.seed, format_where(conditions))


def _sprite_of(artwork: Artwork, model: str) -> Sprite:
    from unikat.sprites import Sprite

    facts = _facts(vars(artwork) | {"model": model, "attempt": artwork.recipe.attempt})
    return Sprite(file_stem(model, artwork.seed, artwork.index), artwork.image(), facts)


def _facts(known: dict[str, object]) -> dict[str, object]:
    """What an image can be drawn again by. The seed as text: 64 bits are more than a number of JavaScript holds.

    An image of a recipe is not that of its batch's seed.
    """
    others = {"seed", "index"} if known.get("recipe") else {"recipe"}
    others |= set() if known.get("attempt") else {"attempt"}
    facts = {name: known[name] for name in _FACTS if name not in others and known.get(name) not in (None, "")}
    return facts | ({"seed": str(facts["seed"])} if "seed" in facts else {})


def _command(order: Order, model: str, seed: int, where: list[str]) -> str:
    words = ["unikat", "sprites", model, *(word for condition in where for word in ("--where", condition))]
    words += ["--count", str(order.count), "--seed", str(seed)]
    for field in fields(order):
        value = getattr(order, field.name)
        if field.name in _SAID_AGAIN and value != field.default:
            flag = f"--{field.name.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
    return shlex.join([*words, "--out", str(order.out)])


def _there(order: Order, path: Path) -> Iterator[Sprite]:
    """The pictures of a file or folder, or of a batch by its manifest."""
    from unikat.batches import layout

    given = [each.name for each in fields(order) if each.name in _DRAWING and getattr(order, each.name) != each.default]
    if given:
        flag, name = f"--{given[0].replace('_', '-')}", path.name
        raise Problem(f"{flag}: {path} is a path, so nothing is drawn; the model would be {name}@1", code=BAD_INPUT)
    if path.is_dir() and order.out.resolve().is_relative_to(path.resolve()):
        raise Problem(f"--out {order.out}: lies in {path}, and would be packed with it", code=BAD_INPUT)
    if (path / layout.MANIFEST).is_file():
        yield from _of_batch(path)
        return
    files = sorted(path.rglob("*"), key=_natural) if path.is_dir() else [path]
    files = [
        file
        for file in files
        if file.suffix.lower() in PICTURES and not (SHEET.fullmatch(file.name) or file.name == layout.SHEET)
    ]
    top = path if path.is_dir() else path.parent
    names = [file.relative_to(top).with_suffix("").as_posix() for file in files]
    for file, name in zip(files, names, strict=True):
        drawn = _DRAWN.fullmatch(file.stem)
        facts = {"model": drawn["model"], "seed": drawn["seed"], "index": int(drawn["index"])} if drawn else {}
        yield _opened(name if names.count(name) == 1 else f"{name}{file.suffix}", file.read_bytes(), facts)


def _of_batch(folder: Path) -> Iterator[Sprite]:
    """Of files and of shards: the manifest says where each image begins."""
    from unikat.batches import layout

    try:
        from unikat.batches.parquet import open_parquet
    except ImportError as error:
        hint = "Install it: pip install 'unikat[batches]'"
        raise Problem(f"a package is missing: {error.name or error}", hint) from error
    with (folder / layout.MANIFEST).open("rb") as manifest:
        rows = open_parquet(manifest).read(use_threads=False).to_pylist()
    for row in rows:
        if not row["file"]:  # refused
            continue
        file = (folder / row["file"]).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise Problem(f"{folder / layout.MANIFEST}: {row['file']} lies outside")
        with file.open("rb") as stream:
            stream.seek(row["offset"])
            data = stream.read(row["size"])
        texts = row.get("conditions") or {}
        blends = layout.parse_conditions(texts)
        row["conditions"] = {name: blends[name] if ":" in text else text for name, text in texts.items()}
        yield _opened(file_stem(row["model"], row["seed"], row["index"]), data, _facts(row))


def _opened(name: str, data: bytes, facts: dict[str, object]) -> Sprite:
    from PIL import Image

    from unikat.sprites import Sprite

    try:
        with Image.open(BytesIO(data)) as image:
            return Sprite(name, image.convert("RGBA"), facts)
    except OSError as error:  # of which Pillow's UnidentifiedImageError is one
        raise Problem(f"{name}: not a picture that can be read", code=BAD_INPUT) from error


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts "2" before "10"."""
    parts = re.findall("[0-9]+|[^0-9]+", path.as_posix())
    return [(int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in parts]
