"""`unikat batch`: images by the thousand, into a folder or an object store."""

from __future__ import annotations

import typer

from unikat.cli.batch.create import create
from unikat.cli.batch.manage import cancel, delete, list_batches, retry, show
from unikat.cli.batch.verify import verify
from unikat.cli.batch.watch import watch
from unikat.cli.batch.words import OneBatch
from unikat.settings import command_of, ungrouped

batches = typer.Typer(
    no_args_is_help=True, help="Images by the thousand into files, as a job that goes on whatever crashes."
)
batches.command()(ungrouped(create))
batches.command("watch")(command_of(OneBatch, watch))
batches.command("list")(ungrouped(list_batches))
for of_one in (show, cancel, retry):
    batches.command(of_one.__name__)(command_of(OneBatch, of_one))
batches.command()(ungrouped(delete))
batches.command()(ungrouped(verify))
