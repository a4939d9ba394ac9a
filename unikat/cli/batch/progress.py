"""Progress of a batch: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from unikat.cli.batch.words import counted, rate, span, why_paused
from unikat.cli.problems import stderr

if TYPE_CHECKING:
    from unikat.batch import Batch

LINE_EVERY: Final = 10.0  # seconds, at least, between lines that say nothing but how far it is
_TEXT: Final = 66  # columns that the texts beside the bar need


def doing(batch: Batch) -> str:
    """What is going on, in two or three words."""
    if batch.ended is not None:
        return batch.state.capitalize()
    if batch.state == "QUEUED":
        return "Waiting for a worker"
    if batch.state == "CANCELLED":
        return "Cancelled, closing"
    if batch.drawn + batch.failed == batch.total:
        return "Writing the manifest"
    return "Paused" if batch.pause is not None else f"Drawing {batch.model}"


def outlook(batch: Batch) -> str:
    """Rate and time left, as far as they can be told."""
    left = f"{span(batch.remaining)} left" if batch.remaining else ""
    return ", ".join(filter(None, [rate(batch.images_per_second), left]))


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
        """The batch as it is now."""
        self._batch = batch
        if self._row is None:
            self._row = self.add_task("", total=batch.total, counts="", outlook="")
        counts = f"{batch.drawn:,}/{batch.total:,}" + (f", {batch.failed:,} failed" if batch.failed else "")
        self.update(self._row, completed=batch.drawn, description=doing(batch), counts=counts, outlook=outlook(batch))

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self._batch is not None and self._batch.pause is not None:
            yield Text(f"  {why_paused(self._batch.pause)}", style="yellow")


class _Lines:
    """A line for every change that matters, and at most one in a while for the others."""

    def __init__(self) -> None:
        self._said: tuple[str, str | None] | None = None
        self._at = 0.0
        self._tenth = 0

    def show(self, batch: Batch) -> None:
        """Print a line if it is time for one."""
        if batch.ended is not None:  # what comes next says it
            return
        news = (doing(batch), batch.pause.reason if batch.pause is not None else None)
        tenth, now = 10 * batch.drawn // batch.total, time.monotonic()
        if news == self._said and tenth == self._tenth and now - self._at < LINE_EVERY:
            return
        self._said, self._tenth, self._at = news, tenth, now
        what = why_paused(batch.pause) if batch.pause is not None else outlook(batch)
        counts = f"{batch.drawn:,} of {counted(batch.total, 'image')}"
        failed = f"{batch.failed:,} failed" if batch.failed else ""
        stderr().print(": ".join([doing(batch), ", ".join(filter(None, [counts, failed, what]))]), markup=False)
