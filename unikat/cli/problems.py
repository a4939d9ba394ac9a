"""What goes wrong, as a person should read it: one sentence, then what to do. Never a traceback."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.markup import escape

from unikat.cli.output import stderr

if TYPE_CHECKING:
    from unikat.cli.options import Service
    from unikat.client import Studio
    from unikat.errors import UnikatError

BAD_INPUT: Final = 2  # exit code: what was typed is wrong
FAILURE: Final = 1  # exit code: what was asked could not be done

# Field of a request, without positions -> how it is written on the command line. The longest beginning counts.
_FLAGS: Final = {
    "model": "MODEL", "count": "--count", "seed": "--seed", "truncation": "--truncation", "format": "--format",
    "background": "--background", "credentials": "--credentials", "encryption_key": "--encrypt",
    "request_id": "--request-id", "conditions": "--where", "name": "MODEL", "first_index": "--first-index",
    "plans.conditions": "--where", "plans.count": "--count", "plans": "--plan",
    "grid.conditions": "--where", "grid.count": "--count", "grid": "--grid",
    "destination": "--to", "layout": "--layout", "owner": "--owner", "labels": "--label",
    "shard_size": "--shard-size", "id": "ID", "states": "--state",
}  # fmt: skip
_POSITION: Final = re.compile(r"\[[^\]]*\]")


class Problem(Exception):
    """Ends the program with `code`, a sentence on stderr, and hints on what to do."""

    def __init__(self, message: str, *hints: str, code: int = FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.hints = [hint for hint in hints if hint]
        self.code = code

    def show(self) -> None:
        console = stderr()
        console.print(f"[bold red]Error:[/] {escape(self.message)}")
        for hint in self.hints:
            console.print(escape(hint), style="dim" if hint.startswith(" ") else None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "Did you mean …?" for what is spelled alike, or nothing."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.55)
    return f"Did you mean {' or '.join(by_lower[c] for c in close)}?" if close else ""


def explain(error: UnikatError, flag: Callable[[str], str]) -> Problem:
    """A service's error as a problem; fields are called what `flag` says they are on the command line."""
    from unikat.errors import InvalidRequest, Overloaded, PermissionDenied, Unauthenticated, Unavailable, WrongState

    if isinstance(error, InvalidRequest):
        lines = [f"{flag(field)}: {message}" for field, message in error.fields.items()] or [str(error)]
        return Problem("\n".join(lines), code=BAD_INPUT)
    if isinstance(error, (WrongState, Unauthenticated, PermissionDenied)):
        return Problem(str(error))
    if isinstance(error, Overloaded):
        wait = f"Try again in {error.retry_after:.0f} s." if error.retry_after else "Try again later."
        return Problem(str(error), wait)
    nobody = isinstance(error, Unavailable) and not error.reason  # or it would have named one
    start = "Start one with `unikat up`, or say where it is with --target or UNIKAT_TARGET." if nobody else ""
    return Problem(str(error), start, "`unikat doctor` looks for what is wrong.")


def flag_of(field: str) -> str:
    """ "conditions[0].category" to "--where"."""
    names = _POSITION.sub("", field).split(".")
    beginnings = (".".join(names[:length]) for length in range(len(names), 0, -1))
    return next((_FLAGS[each] for each in beginnings if each in _FLAGS), field)


@contextmanager
def connect(at: Service, reconnect_timeout: float = 60.0, flag: Callable[[str], str] = flag_of) -> Iterator[Studio]:
    """A studio whose errors become problems that a person can read, with what `flag` says for a request's fields."""
    from unikat.errors import UnikatError

    try:
        with at.studio(reconnect_timeout) as studio:
            yield studio
    except UnikatError as error:
        raise explain(error, flag) from error
    except OSError as error:
        if error.filename is None:  # standard output: the program's end says it
            raise
        # a PEM file, or a folder that cannot be written any more
        raise Problem(f"{error.filename}: {error.strerror or error}") from error
