"""`unikat batch watch`: how far a batch is, until it has ended; a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from unikat.cli.batch import words
from unikat.cli.batch.words import OneBatch, known_batch
from unikat.cli.output import counted, print_json, stderr, stdout
from unikat.cli.problems import FAILURE, Problem, connect

if TYPE_CHECKING:
    from unikat.batch import Batch
    from unikat.client import Studio

PATIENCE: Final = 600.0  # seconds without a service: a night's batch is not given up for a restart
INTERRUPTED: Final = 130
FAILURES_SHOWN: Final = 5
LINE_EVERY: Final = 10.0  # seconds, at least, between lines that say nothing but how far it is
_TEXT: Final = 66  # columns that the texts beside the bar need


def watch(one: OneBatch) -> None:
    """Show the progress of a batch until it has ended; Ctrl-C leaves it running.

    Exit code 0 only if every image is in its file.
    """
    with one.known() as studio:
        studio.batch(one.id)  # whoever mistyped the target is told at once
    with connect(one.at, PATIENCE) as studio:
        follow(studio, one.id, one.at.target, one.as_json)


def follow(studio: Studio, id: str, target: str, as_json: bool) -> None:
    """Show a batch until it has ended. Raises Problem if it did not succeed, Exit when interrupted."""
    batch: Batch | None = None
    try:
        with known_batch(studio, id), studio.watch_batch(id) as changes, display(quiet=as_json) as show:
            for batch in changes:
                show(batch)
                if as_json:
                    print_json(words.as_dict(batch))
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
    console.print(f"  Watch it again: {words.command(target, 'watch', id)}", markup=False)
    console.print(f"  Call it off:    {words.command(target, 'cancel', id)}", markup=False)


def report(batch: Batch, target: str) -> None:
    seconds = (batch.ended - batch.started).total_seconds() if batch.ended and batch.started else 0.0
    took = words.span(seconds) if seconds >= 60 else f"{seconds:.1f} s"
    speed = f" ({words.rate(batch.images_per_second)})" if batch.images_per_second > 0 else ""
    where = words.place(batch.destination)
    console = stdout()
    match batch.state:
        case "SUCCEEDED":
            console.print(Text(f"{counted(batch.drawn, 'image')} of {batch.model} in {took}{speed}: {where}"))
            if batch.refused:
                refused = counted(batch.refused, "image")
                console.print(Text(f"{refused} drawn and not delivered: the manifest says which, and why"))
            console.print(Text(f"Check them: {words.command(target, 'verify', where)}"))
        case "FAILED":
            failed_problem(batch, target).show()
        case "CANCELLED":
            there = f"{batch.drawn:,} of {counted(batch.total, 'image')}"
            console.print(Text(f"Batch {batch.id} was cancelled; {there} were written: {where}"))


def failed_problem(batch: Batch, target: str) -> Problem:
    """What failed, why, and what to do."""
    shown = [f"  {words.indexes(f.first_index, f.count)}: {f.message}" for f in batch.failures[:FAILURES_SHOWN]]
    if len(batch.failures) > FAILURES_SHOWN:
        shown.append(f"  and more: {words.command(target, 'show', batch.id)}")
    others = "The others are complete. " if batch.drawn else ""
    return Problem(
        f"batch {batch.id} failed: {batch.failed:,} of {counted(batch.total, 'image')} could not be drawn",
        *shown,
        f"{others}Draw what failed again: {words.command(target, 'retry', batch.id)}",
    )


def doing(batch: Batch) -> str:
    """What is going on, in two or three words."""
    if batch.ended is not None:
        return batch.state.capitalize()
    if batch.state == "QUEUED":
        return "Waiting for a worker"
    if batch.state == "CANCELLED":
        return "Cancelled, closing"
    if batch.settled + batch.failed == batch.total:
        return "Writing the manifest"
    return "Paused" if batch.pause is not None else f"Drawing {batch.model}"


@contextmanager
def display(quiet: bool) -> Iterator[Callable[[Batch], None]]:
    """Yields what shows a batch, on standard error."""
    if quiet:
        yield lambda batch: None
    elif sys.stderr.isatty():
        with _Bar() as bar:
            yield bar.show
    else:
        yield _Lines().show


class _Bar(Progress):
    """A bar, and below it why nothing moves."""

    def __init__(self) -> None:
        console = stderr()
        console.soft_wrap = False  # what is drawn over and over again must fit
        width = max(8, min(40, console.width - _TEXT))
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=width),
            TextColumn("{task.fields[counts]}"),
            TextColumn("{task.fields[outlook]}"),
        )
        self._batch: Batch | None = None
        self._row: TaskID | None = None
        super().__init__(*columns, console=console, transient=True)

    def show(self, batch: Batch) -> None:
        self._batch = batch
        if self._row is None:
            self._row = self.add_task("", total=batch.total, counts="", outlook="")
        counts = f"{batch.drawn:,}/{batch.total:,}" + "".join(f", {each}" for each in words.not_written(batch))
        self.update(
            self._row, completed=batch.settled, description=doing(batch), counts=counts, outlook=words.outlook(batch)
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self._batch is not None and self._batch.pause is not None:
            yield Text(f"  {words.why_paused(self._batch.pause)}", style="yellow")


class _Lines:
    """A line for every change that matters, and at most one in a while for the others."""

    def __init__(self) -> None:
        self._said: tuple[str, str | None] | None = None
        self._at = 0.0
        self._tenth = 0

    def show(self, batch: Batch) -> None:
        if batch.ended is not None:  # what comes next says it
            return
        news = (doing(batch), batch.pause.reason if batch.pause is not None else None)
        tenth, now = 10 * batch.settled // batch.total, time.monotonic()
        if news == self._said and tenth == self._tenth and now - self._at < LINE_EVERY:
            return
        self._said, self._tenth, self._at = news, tenth, now
        what = words.why_paused(batch.pause) if batch.pause is not None else words.outlook(batch)
        counts = f"{batch.drawn:,} of {counted(batch.total, 'image')}"
        every = [counts, *words.not_written(batch), what]
        stderr().print(": ".join([doing(batch), ", ".join(filter(None, every))]), markup=False)
