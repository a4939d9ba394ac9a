"""`unikat prepare …`: from what people have to a data set on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from unikat_training.data.build import Output, Picture, Recipe, build
from unikat_training.data.emoji.packages import default_cache
from unikat_training.data.emoji.prepare import Collection, EmojiDrawings, emoji_recipe, fetch_all
from unikat_training.data.fashion_mnist import (
    DEBIAN_FOLDER,
    Split,
    fashion_pictures,
    fashion_recipe,
    read_split,
)
from unikat_training.data.fields import DatasetError
from unikat_training.data.folder.layout import list_pictures
from unikat_training.data.folder.prepare import UNSPECIFIED, folder_pictures, folder_recipe
from unikat_training.data.pictures import Fit
from unikat_training.data.portraits.prepare import COUNT, portraits_recipe
from unikat_training.data.portraits.prepare import portraits as drawn_portraits
from unikat_training.data.report import Problem

Item = TypeVar("Item")

app = typer.Typer(help="Prepare a data set: pictures in, one array file and a JSON out.", no_args_is_help=True)

Size = Annotated[int, typer.Option(min=8, max=1024, help="Height and width of the images (pixels).")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the data set; made complete or not at all.", show_default="data/NAME")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the report and write a contact sheet.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the data set that is at --out.")]
Jobs = Annotated[int, typer.Option(min=1, max=64, help="Processes that decode and draw (one a core is best).")]


@app.command()
def emoji(
    size: Size = 32,
    out: Out = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="UNIKAT_NPM_CACHE",
            help="Folder of npm tarballs (32 MB); those that are there are not fetched again.",
            show_default="~/.cache/unikat/npm",
        ),
    ] = None,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """The emoji set: 7 styles, 14 categories, 6 skin tones; about 15,000 drawings. Needs npm."""
    console = Console(stderr=True)
    collection = Collection()
    output = _output(out, f"emoji-{size}", dry_run, force)
    with _told(console), _progress(console) as progress:
        output.check()
        fetching = progress.add_task("packages", total=len(collection.packages))
        tarballs = fetch_all(collection, cache or default_cache(), lambda: progress.advance(fetching))
        drawings = EmojiDrawings(collection, tarballs, size)
        pictures = _track(progress, "drawings", drawings.pictures(jobs), len(drawings))
        _finish(console, progress, emoji_recipe(size, collection), pictures, output)


@app.command()
def folder(
    path: Annotated[Path, typer.Argument(help="A folder, a zip, or a CSV or JSONL file with pictures beside it.")],
    size: Size = 64,
    out: Out = None,
    labels: Annotated[
        Path | None, typer.Option(help="File of labels: CSV, TSV, JSONL or StyleGAN's dataset.json; else looked for.")
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="Folders: the attribute's name. Tables: a column to use (repeatable; all by default)."),
    ] = None,
    fit: Annotated[Fit, typer.Option(help="Crop the middle square, or pad to a square with white.")] = "crop",
    licence: Annotated[str, typer.Option(help="SPDX expression, such as CC-BY-4.0.")] = UNSPECIFIED,
    credit: Annotated[str, typer.Option(help="Whom the licence asks to name.")] = "",
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Your own pictures: folders of folders, a table of labels, StyleGAN's archive, or no labels."""
    console = Console(stderr=True)
    output = _output(out, Path(os.path.abspath(path)).stem, dry_run, force)
    with _told(console), _progress(console) as progress:
        output.check()
        listing = list_pictures(path, labels, tuple(attribute or ()))
        recipe = folder_recipe(output.path.name, listing, size, licence, credit)
        total = len(listing.items) + len(listing.problems)
        pictures = _track(progress, "pictures", folder_pictures(listing, size, fit, jobs), total)
        _finish(console, progress, recipe, pictures, output)


@app.command("fashion-mnist")
def fashion_mnist(
    size: Size = 32,
    out: Out = None,
    source: Annotated[Path, typer.Option(help="Folder of the IDX files, gzipped or not.")] = DEBIAN_FOLDER,
    split: Annotated[Split, typer.Option(help="60,000 images for training or 10,000 for testing.")] = "train",
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Fashion-MNIST from its IDX files, as Debian's package dataset-fashion-mnist installs them."""
    console = Console(stderr=True)
    output = _output(out, f"fashion-mnist-{split}-{size}", dry_run, force)
    with _told(console), _progress(console) as progress:
        output.check()
        images, categories = read_split(source, split)
        pictures = _track(progress, "images", fashion_pictures(images, categories, size, split), len(images))
        _finish(console, progress, fashion_recipe(size, split), pictures, output)


@app.command()
def portraits(
    size: Size = 64,
    out: Out = None,
    count: Annotated[int, typer.Option(min=14, help="Portraits to draw, of fourteen styles in turn.")] = COUNT,
    seed: Annotated[int, typer.Option(help="Other seeds draw other portraits.")] = 0,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Portraits with alpha: 14 styles, skin, hair and its colour, glasses, facial hair, mood; as many as wanted."""
    console = Console(stderr=True)
    output = _output(out, f"portraits-{size}", dry_run, force)
    with _told(console), _progress(console) as progress:
        output.check()
        pictures = _track(progress, "portraits", drawn_portraits(size, count, seed, jobs), count)
        _finish(console, progress, portraits_recipe(size, count, seed), pictures, output)


def _output(out: Path | None, name: str, dry_run: bool, force: bool) -> Output:
    # Absolute, so that `--out .` has a name to build its neighbour by.
    return Output(Path(os.path.abspath(out or Path("data") / name)), dry_run, force)


def _finish(
    console: Console, progress: Progress, recipe: Recipe, pictures: Iterable[Picture | Problem], output: Output
) -> None:
    report = build(recipe, pictures, output)
    progress.stop()
    report.print(console)
    console.print(f"contact sheet: {escape(str(output.sheet))}", soft_wrap=True)
    console.print(f"images digest: {report.digest}", soft_wrap=True)
    if output.dry_run:
        console.print("dry run: no data set was written")
    else:
        typer.echo(output.path)  # the only line on stdout: for scripts


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """Ends the command with the message of a DatasetError, without a traceback."""
    try:
        yield
    except DatasetError as error:
        console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from error


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _track(progress: Progress, text: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    task = progress.add_task(text, total=total)
    for item in items:
        yield item
        progress.advance(task)
