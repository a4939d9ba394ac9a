"""`unikat batch`: images by the thousand, into a folder or an object store."""

from __future__ import annotations

import typer

from unikat.cli.batch.create import create
from unikat.cli.batch.end import cancel, delete, retry
from unikat.cli.batch.look import list_batches, show
from unikat.cli.batch.verify import verify
from unikat.cli.batch.watch import watch

batches = typer.Typer(
    no_args_is_help=True, help="Images by the thousand into files, as a job that goes on whatever crashes."
)
batches.command()(create)
batches.command()(watch)
batches.command("list")(list_batches)
batches.command()(show)
batches.command()(cancel)
batches.command()(retry)
batches.command()(delete)
batches.command()(verify)
