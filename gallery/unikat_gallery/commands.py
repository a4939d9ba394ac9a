"""What `unikat` is told of this package without importing it."""

import typer

from unikat.cli.commands import Command


def _load() -> typer.Typer:
    from unikat_gallery.__main__ import app

    return app


gallery = Command(
    "Serve the gallery: a site on which people look at drawings as they are made, keep and compare them.",
    ("gallery",),
    _load,
)


def _load_votes() -> typer.Typer:
    from unikat_gallery.votes.command import app

    return app


votes = Command("What visitors of a gallery say of its drawings.", ("votes",), _load_votes)
