"""The error that a person can do something about: the command line prints it without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.markup import escape

from unikat.bundle import BundleError
from unikat.terminal import Console


class TrainingError(ValueError):
    """Training or export cannot go on; the message names the setting or file, and what to do."""


class DatasetError(TrainingError):
    """A data set, or what it should be made from, cannot be used; the message says what is wrong and what to do."""


@contextmanager
def told() -> Iterator[None]:
    """Ends a command with the message of such an error, without a traceback."""
    try:
        yield
    except (TrainingError, BundleError, FileExistsError) as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(2) from error
