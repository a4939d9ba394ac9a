"""Errors of Redis that pass: it is away, restarting, failing over or full. Whatever it was is tried again."""

from __future__ import annotations

from typing import Final

from redis.exceptions import ConnectionError, NoScriptError, OutOfMemoryError, ReadOnlyError, TimeoutError

AWAY: Final = (ConnectionError, TimeoutError, ReadOnlyError, OutOfMemoryError, NoScriptError)
