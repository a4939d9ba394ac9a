"""Connecting to a service on behalf of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unikat.cli.problems import Problem, explain, flag_of

if TYPE_CHECKING:
    from unikat.client import Studio


@contextmanager
def connect(
    target: str,
    tls: bool,
    ca: Path | None,
    reconnect_timeout: float = 60.0,
    flag: Callable[[str], str] = flag_of,
) -> Iterator[Studio]:
    """A studio whose errors become problems that a person can read, with what `flag` says for a request's fields."""
    from unikat.client import Studio
    from unikat.errors import UnikatError

    try:
        with Studio(target, tls=tls, ca=ca, reconnect_timeout=reconnect_timeout) as studio:
            yield studio
    except UnikatError as error:
        raise explain(error, flag) from error
    except OSError as error:
        if error.filename is None:  # standard output: the program's end says it
            raise
        # --ca, or a folder that cannot be written any more
        raise Problem(f"{error.filename}: {error.strerror or error}") from error
