"""`unikat batch cancel`, `retry` and `delete`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.text import Text

from unikat.cli import options
from unikat.cli.batch.words import AsJson, Id, as_dict, command, counted, known_batch, place
from unikat.cli.connect import connect
from unikat.cli.problems import BAD_INPUT, Problem, stdout


def cancel(
    id: Id,
    as_json: AsJson = False,
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """Call a batch off. What was written stays, with a manifest of what is there."""
    with connect(target, tls, ca) as studio, known_batch(studio, id):
        batch = studio.cancel_batch(id)
    if as_json:
        print(json.dumps(as_dict(batch)), flush=True)
        return
    there = f"{batch.drawn:,} of {counted(batch.total, 'image')}"
    stdout().print(Text(f"Batch {id} is cancelled; {there} are in {place(batch.destination)}."))


def retry(
    id: Id,
    as_json: AsJson = False,
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """Draw again what failed, and only that."""
    with connect(target, tls, ca) as studio, known_batch(studio, id):
        before = studio.batch(id)
        batch = studio.retry_batch(id)
    if as_json:
        print(json.dumps(as_dict(batch)), flush=True)
        return
    console = stdout()
    again = counted(before.failed, "image")
    console.print(Text(f"Drawn again: {again} of {before.total:,}, in {place(batch.destination)}."))
    for failure in before.failures:
        last = failure.first_index + failure.count - 1
        console.print(Text(f"  images {failure.first_index} to {last}, which failed: {failure.message}"))
    console.print(Text(f"Watch it: {command(target, 'watch', id)}"))


def delete(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """Forget a batch that has ended. Its files stay where they are."""
    with connect(target, tls, ca) as studio, known_batch(studio, id):
        if not yes:
            _ask(id, place(studio.batch(id).destination))
        studio.delete_batch(id)
    stdout().print(Text(f"Batch {id} is forgotten; its files stay."))


def _ask(id: str, where: str) -> None:
    if not sys.stdin.isatty():
        raise Problem("--yes is missing: nobody is there to be asked", code=BAD_INPUT)
    if not typer.confirm(f"Forget batch {id}? Its files in {where} stay, but it cannot be retried any more."):
        raise typer.Exit
