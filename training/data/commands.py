"""`python -m training prepare …`: from what people have to a data set on disk."""

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

from training.data.build import Output, Picture, Recipe, build
from training.data.emoji.packages import default_cache
from training.data.emoji.prepare import Collection, EmojiDrawings, emoji_recipe, fetch_all
from training.data.fields import DatasetError
from training.data.report import Problem

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
            help="Folder of npm tarballs (34 MB); those that are there are not fetched again.",
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
