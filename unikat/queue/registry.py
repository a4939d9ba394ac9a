"""What workers have announced and nobody needs any more is removed from Redis: it has no time of its own."""

# redis-py annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Set
from typing import cast

from redis import Redis

from unikat.queue.workers import MODELS_KEY, WORKERS_KEY, WorkerStatus, worker_key


def forget_announcements(redis: Redis, unserved: Set[bytes]) -> set[bytes]:
    """Remove the descriptions of models that no live worker serves and that were among `unserved` the last time.

    Returns the digests that no live worker serves now. Twice, because a worker that begins to serve a model looks
    whether it is described before it says that it serves it; and each describes its models again every few seconds.
    """
    described = set(cast(list[bytes], redis.hkeys(MODELS_KEY)))  # before the workers are asked
    names = cast(list[bytes], redis.zrange(WORKERS_KEY, 0, -1))
    texts = (
        cast(list[bytes | None], redis.mget([worker_key(name.decode(errors="replace")) for name in names]))
        if names
        else []
    )
    served = {digest.encode() for text in texts if text for digest in _digests(text)}
    without = described - served
    if gone := without & unserved:
        redis.hdel(MODELS_KEY, *gone)
    return without - gone


def _digests(status: bytes) -> list[str]:
    try:
        return list(WorkerStatus.from_json(status).models.values())
    except ValueError:  # written by hand
        return []
