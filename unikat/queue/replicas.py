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
_GOOD: Final = "min_slaves_good_slaves"  # INFO has it where `min-replicas-to-write` is set
MOST_LAG_S: Final = 10  # since a replica was last heard of; one that is behind further counts as gone


def wait_for_replica(redis: Redis, key: str) -> None:
    """Return when a replica, if there is one, has what was written up to now, `key` among it.

    Where `min-replicas-to-write` is set there has to be one: a primary that hung and wakes up may take a write before
    it notices that its replica has gone, and has none when it is asked.

    Raises Unready where no replica follows, and ConnectionError where another server has taken the primary's place
    meanwhile and has no such key: what was written is to be written again. RedisError otherwise.
    """
    found = redis.info("replication")
    needed = int(_GOOD in found or any(_follows(each) for each in found.values()))
    reached = 0
    if needed:
        with redis.pipeline(transaction=False) as pipe:  # of one connection: WAIT is for what was written on its own
            pipe.set(PROBE_KEY + secrets.token_hex(8), "", px=1000)
            pipe.execute_command("WAIT", needed, WITHIN_MS)
            pipe.exists(key)
            _, reached, is_there = pipe.execute()
    else:
        is_there = redis.exists(key)
    if not is_there:
        raise ConnectionError("the server that took it was replaced by one that has not got it")
    if reached < needed:
        raise Unready(f"its replica does not follow: it has not got what was written {WITHIN_MS / 1000:.0f} s ago")


def _follows(entry: object) -> bool:
    """Whether an entry of INFO is that of a replica that has all data, and is there."""
    return isinstance(entry, dict) and entry.get("state") == "online" and int(entry.get("lag", 0)) <= MOST_LAG_S
