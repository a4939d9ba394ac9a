"""Connecting to a service on behalf of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unikat.cli.problems import BAD_INPUT, Problem, did_you_mean, explain

if TYPE_CHECKING:
    from unikat.client import Studio
    from unikat.v1.model_pb2 import Model


@contextmanager
def connect(target: str, tls: bool, ca: Path | None, reconnect_timeout: float = 60.0) -> Iterator[Studio]:
    """A studio whose errors become problems that a person can read."""
    from unikat.client import Studio
    from unikat.errors import UnikatError

    try:
        with Studio(target, tls=tls, ca=ca, reconnect_timeout=reconnect_timeout) as studio:
            yield studio
    except UnikatError as error:
        raise explain(error) from error
    except OSError as error:
        if error.filename is None:  # standard output: the program's end says it
            raise
        # --ca, or a folder that cannot be written any more
        raise Problem(f"{error.filename}: {error.strerror or error}") from error


def get_model(studio: Studio, name: str) -> Model:
    """A model, or a problem that lists the ones there are and what is spelled alike."""
    from unikat.errors import NotFound

    try:
        return studio.model(name)
    except NotFound as error:
        models = studio.models()
        names = sorted({model.name for model in models} | {f"{model.name}@{model.version}" for model in models})
        listed = f"Models: {', '.join(names)}" if names else "No live worker serves any model."
        raise Problem(f'unknown model "{name}"', did_you_mean(name, names), listed, code=BAD_INPUT) from error
