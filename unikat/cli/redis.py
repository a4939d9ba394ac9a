"""The Redis of commands that read or write it themselves, instead of asking a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.up.address import redis_url_of

if TYPE_CHECKING:
    from redis import Redis


@contextmanager
def connected_redis(url: str | None, data: Path, name: str) -> Iterator[Redis]:
    """The Redis of a URL, or that of `unikat up`; `name` is shown by CLIENT LIST. What goes wrong becomes a problem."""
    if find_spec("redis") is None:
        raise Problem("not installed: redis", "Install it: pip install 'unikat[queue]'")
    from redis import RedisError

    from unikat.queue.clients import connect, shown

    url = url or redis_url_of(data)
    try:
        with connect(url, name) as redis:
            yield redis
    except (RedisError, OSError) as error:
        hint = "Start `unikat up`, or say where it is with --redis-url or UNIKAT_REDIS_URL."
        raise Problem(f"Redis at {shown(url)}: {error}", hint) from error
    except ValueError as error:
        raise Problem(str(error), code=BAD_INPUT) from error
