"""What commands print: results on standard output, all else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from unikat.terminal import Console


def stderr() -> Console:
    """Console for all that is not the result; lines are broken by the terminal only, so that they can be copied."""
    return Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def stdout() -> Console:
    """Console for results; tables in files and pipes are wide rather than broken."""
    return Console(soft_wrap=True, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 200)


def counted(number: int, noun: str) -> str:
    """ "1 image", "1,400 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_json(facts: object) -> None:
    """One value a line, at once."""
    print(json.dumps(facts), flush=True)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line, without what has no value."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(Text(name), Text(value))  # not markup, whatever brackets they have
    stdout().print(table, soft_wrap=False)


@contextmanager
def progress(what: str, total: int | None = None, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; yields what is called with how many of how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    quiet = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=stderr(), transient=True, disable=quiet) as bars:
        bar = bars.add_task(what, total=total)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
