"""The functions that jobs name. A Unikat worker never calls them: it draws many jobs at a time."""

from __future__ import annotations

from typing import Any, NoReturn


def draw(**request: Any) -> NoReturn:  # noqa: ANN401  (whatever the job holds, it is refused)
    """What a plain RQ worker runs into. Raises RuntimeError."""
    raise RuntimeError("a draw job needs a Unikat worker (python -m worker); a plain RQ worker cannot draw it")


def draw_shard(**request: Any) -> NoReturn:  # noqa: ANN401
    """The same, for a shard of a batch. Raises RuntimeError."""
    raise RuntimeError("a shard needs a Unikat worker (python -m worker); a plain RQ worker cannot draw it")


def close_batch(**request: Any) -> NoReturn:  # noqa: ANN401
    """The same, for the job that writes a batch's manifest. Raises RuntimeError."""
    raise RuntimeError("a batch is closed by a Unikat worker (python -m worker); a plain RQ worker cannot do it")
