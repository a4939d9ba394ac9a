"""What `unikat` is told of this package without importing it."""

import typer

from unikat.cli.commands import Command


def _load() -> typer.Typer:
    from unikat_registry.__main__ import app

    program = typer.Typer(rich_markup_mode=None)
    program.add_typer(app, name="registry")
    return program


registry = Command(
    "Serve claims of artworks over gRPC: draw, check, enter into the log, verify pictures; back up and restore.",
    ("registry",),
    _load,
)
