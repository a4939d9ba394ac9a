"""`unikat prepare …`: from what people have to a data set on disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from unikat.terminal import Console
from unikat_training.data import creatures as robohash
from unikat_training.data import scenes as patterns
from unikat_training.data.build import Output, Picture, Recipe, build
from unikat_training.data.emoji.prepare import Collection, EmojiDrawings, emoji_recipe, fetch_all
from unikat_training.data.fashion_mnist import (
    DEBIAN_FOLDER,
    Split,
    fashion_pictures,
    fashion_recipe,
    read_split,
)
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.prepare import UNSPECIFIED, FolderPlan, read_folder
from unikat_training.data.portraits.prepare import COUNT, portraits_recipe
from unikat_training.data.portraits.prepare import portraits as drawn_portraits
from unikat_training.data.report import Problem
from unikat_training.errors import told
from unikat_training.fetching import cache_folder
from unikat_training.flags import Given, changed, flags_of, with_flags
from unikat_training.progress import progress_bar

app = typer.Typer(help="Prepare a data set: pictures in, one array file and a JSON out.", no_args_is_help=True)

Size = Annotated[int, typer.Option(min=8, max=1024, help="Height and width of the images (pixels).")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the data set; made complete or not at all.", show_default="data/NAME")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print the report and write a contact sheet.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the data set that is at --out.")]
OtherSeed = Annotated[int, typer.Option("--seed", help="Other seeds draw others.")]
Jobs = Annotated[int, typer.Option(min=1, max=64, help="Processes that decode and draw (one a core is best).")]


@app.command()
def emoji(
    size: Size = 32,
    channels: Annotated[Literal["rgb", "rgba"], typer.Option(help="rgb: on white; rgba: with alpha.")] = "rgb",
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
    with told():
        collection, planes = Collection(), len(channels)
        output = _output(out, f"emoji-{size}" if planes == 3 else f"emoji-{size}-{channels}", dry_run, force)
        with progress_bar(len(collection.packages), 0, "package", True) as bar:
            tarballs = fetch_all(collection, cache or cache_folder("npm"), bar.update)
        drawings = EmojiDrawings(collection, tarballs, size, planes)
        _prepare(emoji_recipe(size, collection, planes), drawings.pictures(jobs), len(drawings), output)


def folder(
    path: Annotated[Path, typer.Argument(help="A folder, a zip, a tar, or a file of labels with pictures beside it.")],
    size: Size = 64,
    out: Out = None,
    licence: Annotated[str, typer.Option(help="SPDX expression, such as CC-BY-4.0.")] = UNSPECIFIED,
    credit: Annotated[str, typer.Option(help="Whom the licence asks to name.")] = "",
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    force: Force = False,
    **given: Given,
) -> None:
    """Your own pictures: folders of folders, a table of labels, StyleGAN's archive, or no labels."""
    with told():
        options = changed(FolderOptions(), given)
        output = _output(out, Path(os.path.abspath(path)).stem, dry_run, force, options.max_left_out)
        _prepare(*read_folder(FolderPlan(path, output.path.name, size, options, licence, credit), jobs), output)


FOLDER_FLAGS = flags_of(FolderOptions, lambda _, default: str(default) if default else False)
app.command()(with_flags(folder, FOLDER_FLAGS))


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
    with told():
        output = _output(out, f"fashion-mnist-{split}-{size}", dry_run, force)
        images, categories = read_split(source, split)
        pictures = fashion_pictures(images, categories, size, split)
        _prepare(fashion_recipe(size, split), pictures, len(images), output)


@app.command()
def portraits(
    size: Size = 64,
    out: Out = None,
    count: Annotated[int, typer.Option(min=14, help="Portraits to draw, of fourteen styles in turn.")] = COUNT,
    seed: OtherSeed = 0,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Portraits with alpha: 14 styles, skin, hair and its colour, glasses, facial hair, mood; as many as wanted."""
    with told():
        output = _output(out, f"portraits-{size}", dry_run, force)
        _prepare(portraits_recipe(size, count, seed), drawn_portraits(size, count, seed, jobs), count, output)


@app.command()
def creatures(
    size: Size = 64,
    out: Out = None,
    count: Annotated[int, typer.Option(min=4, help="Creatures to compose, of four kinds in turn.")] = robohash.COUNT,
    seed: OtherSeed = 0,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder of Robohash's wheel (44 MB); fetched into it when it is not there.",
            show_default="~/.cache/unikat/robohash",
        ),
    ] = None,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Creatures with alpha: robots, monsters, droids and cats by colour; as many as wanted. Fetches Robohash by pip."""
    with told():
        output = _output(out, f"creatures-{size}", dry_run, force)
        drawn = robohash.creatures(robohash.fetch(cache), size, count, seed, jobs)
        _prepare(robohash.creatures_recipe(size), drawn, count, output)


@app.command()
def scenes(
    size: Size = 64,
    out: Out = None,
    count: Annotated[int, typer.Option(min=20, help="Scenes to draw, of twenty genres in turn.")] = patterns.COUNT,
    seed: OtherSeed = 0,
    jobs: Jobs = 2,
    dry_run: DryRun = False,
    force: Force = False,
) -> None:
    """Landscapes, planets, critters, patterns: 20 genres by colour, as many as wanted."""
    with told():
        output = _output(out, f"scenes-{size}", dry_run, force)
        _prepare(patterns.scenes_recipe(size), patterns.scenes(size, count, seed, jobs), count, output)


def _output(out: Path | None, name: str, dry_run: bool, force: bool, max_left_out: float = 1.0) -> Output:
    """Where the data set goes. Raises DatasetError, before anything is read, when it cannot go there."""
    # Absolute, so that `--out .` has a name to build its neighbour by.
    output = Output(Path(os.path.abspath(out or Path("data") / name)), dry_run, force, max_left_out)
    output.check()
    return output


def _prepare(recipe: Recipe, pictures: Iterable[Picture | Problem], total: int, output: Output) -> None:
    console = Console(stderr=True)
    report = build(recipe, _counted(pictures, total), output, console)
    console.print(f"images digest: {report.digest}", soft_wrap=True)
    if output.dry_run:
        console.print("dry run: no data set was written")
    else:
        typer.echo(output.path)  # the only line on stdout: for scripts


def _counted(pictures: Iterable[Picture | Problem], total: int) -> Iterator[Picture | Problem]:
    with progress_bar(total, 0, "picture", True) as bar:
        for picture in pictures:
            yield picture
            bar.update()
