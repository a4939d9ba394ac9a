"""`unikat votes report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from unikat.cli.problems import Problem
from unikat_gallery.database import open_existing
from unikat_gallery.settings import Settings
from unikat_gallery.votes.page import page_of
from unikat_gallery.votes.report import report_of
from unikat_gallery.votes.store import all_votes

JSON: Final = "report.json"
PAGE: Final = "report.html"

votes = typer.Typer(help="What visitors of a gallery say of its drawings.", no_args_is_help=True)
app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.add_typer(votes, name="votes")


@votes.callback()
def _group() -> None:
    """What visitors of a gallery say of its drawings."""


@votes.command()
def report(
    database: Annotated[
        Path, typer.Option(envvar="UNIKAT_GALLERY_DATABASE", help="The gallery's database (SQLite).")
    ] = Settings.database,
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {JSON} and {PAGE}.")] = Path("out/votes"),
) -> None:
    """Rank versions and truncations by what people like, and count how often drawings are taken for the artist's.

    Every figure has a 95% interval over voters. `unikat export --votes` puts the figures into a model's card.
    """
    if not database.is_file():
        raise Problem(f"--database: {database} is not there", "`unikat gallery --database` says where it keeps it.")
    try:
        engine = open_existing(database)
        with engine.connect() as db:
            found = report_of(all_votes(db))
        engine.dispose()
    except ValueError as error:
        raise Problem(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    (out / JSON).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (out / PAGE).write_text(page_of(found), encoding="utf-8")
    typer.echo(f"{found['votes']['counted']:,} of {found['votes']['all']:,} votes count: {out / PAGE}, {out / JSON}")
