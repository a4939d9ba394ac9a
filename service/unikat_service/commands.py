"""What `unikat` is told of this package without importing it."""

import typer

from unikat.cli.commands import Command


def _load() -> typer.Typer:
    from unikat_service.__main__ import app

    return app


serve = Command("Serve the studio over gRPC: check requests, enqueue jobs, stream images back.", ("service",), _load)
