"""`unikat batch watch`: how far a batch is, until it has ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import typer
from rich.text import Text

from unikat.cli import options
from unikat.cli.batch.progress import display
from unikat.cli.batch.words import AsJson, Id, as_dict, command, counted, known_batch, place, rate, span
from unikat.cli.connect import connect
from unikat.cli.problems import FAILURE, Problem, stderr, stdout

if TYPE_CHECKING:
    from unikat.batch import Batch
    from unikat.client import Studio

PATIENCE: Final = 600.0  # seconds without a service: a night's batch is not given up for a restart
INTERRUPTED: Final = 130
FAILURES_SHOWN: Final = 5


def watch(
    id: Id,
    as_json: AsJson = False,
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """Show the progress of a batch until it has ended; Ctrl-C leaves it running.

    Exit code 0 only if every image is in its file.
    """
    with connect(target, tls, ca) as studio, known_batch(studio, id):
        studio.batch(id)  # whoever mistyped the target is told at once
    with connect(target, tls, ca, PATIENCE) as studio:
        follow(studio, id, target, as_json)


def follow(studio: Studio, id: str, target: str, as_json: bool) -> None:
    """Show a batch until it has ended. Raises Problem if it did not succeed, Exit when interrupted."""
    batch: Batch | None = None
    try:
        with known_batch(studio, id), studio.watch_batch(id) as changes, display(quiet=as_json) as show:
            for batch in changes:
                show(batch)
                if as_json:
                    print(json.dumps(as_dict(batch)), flush=True)
    except KeyboardInterrupt:
        _take_leave(id, target)
        raise typer.Exit(INTERRUPTED) from None
    assert batch is not None  # a watch begins with the batch as it is
    if not as_json:
        report(batch, target)
    if batch.state != "SUCCEEDED":
        raise typer.Exit(FAILURE)


def _take_leave(id: str, target: str) -> None:
    console = stderr()
    console.print(f"Batch {id} goes on without you.", markup=False)
    console.print(f"  Watch it again: {command(target, 'watch', id)}", markup=False)
    console.print(f"  Call it off:    {command(target, 'cancel', id)}", markup=False)


def report(batch: Batch, target: str) -> None:
    """How a batch ended."""
    seconds = (batch.ended - batch.started).total_seconds() if batch.ended and batch.started else 0.0
    took = span(seconds) if seconds >= 60 else f"{seconds:.1f} s"
    speed = f" ({rate(batch.images_per_second)})" if batch.images_per_second > 0 else ""
    where = place(batch.destination)
    console = stdout()
    match batch.state:
        case "SUCCEEDED":
            console.print(Text(f"{counted(batch.drawn, 'image')} of {batch.model} in {took}{speed}: {where}"))
            console.print(Text(f"Check them: {command(target, 'verify', where)}"))
        case "FAILED":
            failed_problem(batch, target).show()
        case "CANCELLED":
            there = f"{batch.drawn:,} of {counted(batch.total, 'image')}"
            console.print(Text(f"Batch {batch.id} was cancelled; {there} were written: {where}"))


def failed_problem(batch: Batch, target: str) -> Problem:
    """What failed, why, and what to do."""
    shown = [
        f"  images {f.first_index} to {f.first_index + f.count - 1}: {f.message}"
        for f in batch.failures[:FAILURES_SHOWN]
    ]
    if len(batch.failures) > FAILURES_SHOWN:
        shown.append(f"  and more: {command(target, 'show', batch.id)}")
    others = "The others are complete. " if batch.drawn else ""
    return Problem(
        f"batch {batch.id} failed: {batch.failed:,} of {counted(batch.total, 'image')} could not be drawn",
        *shown,
        f"{others}Draw what failed again: {command(target, 'retry', batch.id)}",
    )
