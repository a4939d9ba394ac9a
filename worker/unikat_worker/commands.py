"""What `unikat` is told of this package without importing it."""

import typer

from unikat.cli.commands import Command


def _load() -> typer.Typer:
    from unikat_worker.__main__ import app

    return app


work = Command(
    "Draw artworks: take jobs from the queue, draw them in batches, stream the images back.",
    ("worker", "worker-gpu"),
    _load,
)
