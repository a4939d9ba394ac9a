"""Replies by which a server says that it cannot serve now. They pass: what was asked for is asked again.

The parsers here give each its class and plain words. They are part of every client (`clients.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis._parsers import _AsyncHiredisParser, _HiredisParser
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    NoScriptError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
    TimeoutError,
)


class Unready(ResponseError):
    """The server did nothing of what was asked; the connection is good."""


class Full(Unready, OutOfMemoryError):
    """The server has no memory left for what was asked."""


class NotPrimary(ConnectionError):
    """Another server takes the writes. redis-py drops a connection that raises a ConnectionError.

    The next one is opened to what the address, or the Sentinels, name by then.
    """


# First word of a reply -> its class, and what it means.
_UNREADY: Final[dict[str, tuple[type[RedisError], str]]] = {
    "READONLY": (NotPrimary, "it is a replica and takes no writes"),
    "MASTERDOWN": (NotPrimary, "it is a replica that has lost its primary"),
    "UNBLOCKED": (NotPrimary, "it has become a replica"),
    "LOADING": (BusyLoadingError, "it is still reading its data from disk"),
    "MISCONF": (Unready, "it cannot write to its disk, and takes no writes until it can; its log says why"),
    "NOREPLICAS": (Unready, "it has fewer replicas than min-replicas-to-write says, and takes no writes"),
    "BUSY": (Unready, "a script that somebody runs on it takes long; SCRIPT KILL ends it"),
    "OOM": (Full, "its memory is full, up to maxmemory"),
    "CLUSTERDOWN": (Unready, "its cluster is down"),
    "TRYAGAIN": (Unready, "its cluster is moving keys"),
}
_ABORTED: Final = "EXECABORT Transaction discarded because of: "

PASSING: Final = (ConnectionError, TimeoutError, NoScriptError, Unready)
"""What is waited out: the server is away, cannot serve now, or has been restarted and forgot the scripts."""


@contextmanager
def wrong_type_passed_over() -> Iterator[None]:
    """Where somebody wrote something else under a name of ours, the block ends, and nothing is raised."""
    try:
        yield
    except ResponseError as error:
        if not str(error).startswith("WRONGTYPE"):
            raise


def _error_of(reply: str) -> RedisError | None:
    text = reply.removeprefix(_ABORTED)
    code = text.partition(" ")[0]
    if code not in _UNREADY:
        return None
    kind, meaning = _UNREADY[code]
    return kind(f"{meaning} ({code})")


class Parser(_HiredisParser):
    """For clients that block."""

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        """The exception for an error reply."""
        return _error_of(response) or super().parse_error(response)  # type: ignore[no-untyped-call]  # redis-py's


class AsyncParser(_AsyncHiredisParser):
    """For asyncio."""

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        """The exception for an error reply."""
        return _error_of(response) or super().parse_error(response)  # type: ignore[no-untyped-call]  # redis-py's
