"""The function that a draw job names. A Unikat worker never calls it: it draws many jobs in one batch."""

from __future__ import annotations

from typing import Any, NoReturn


def draw(**request: Any) -> NoReturn:  # noqa: ANN401  (whatever the job holds, it is refused)
    """What a plain RQ worker runs into. Raises RuntimeError."""
    raise RuntimeError("a draw job needs a Unikat worker (python -m worker); a plain RQ worker cannot draw it")
