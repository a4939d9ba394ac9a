"""Replication does not wait; who acknowledges something that nobody asks for again does."""

# redis-py annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import secrets
from typing import Final

from redis import Redis
from redis.exceptions import ConnectionError

from unikat.queue.server import PROBE_KEY
from unikat.queue.unready import Unready

WITHIN_MS: Final = 2000


def wait_for_replica(redis: Redis, key: str) -> None:
    """Return when a replica, if there is one, has what was written up to now, `key` among it.

    Raises Unready where no replica follows, and ConnectionError where another server has taken the primary's place
    meanwhile and has no such key: what was written is to be written again. RedisError otherwise.
    """
    replicas = int(redis.info("replication").get("connected_slaves", 0))
    with redis.pipeline(transaction=False) as pipe:  # of one connection: WAIT is for what was written on its own
        pipe.set(PROBE_KEY + secrets.token_hex(8), "", px=1000)
        pipe.execute_command("WAIT", min(replicas, 1), WITHIN_MS)
        pipe.exists(key)
        _, reached, is_there = pipe.execute()
    if not is_there:
        raise ConnectionError("the server that took it was replaced by one that has not got it")
    if reached < min(replicas, 1):
        raise Unready(f"its replica does not follow: it has not got what was written {WITHIN_MS / 1000:.0f} s ago")
