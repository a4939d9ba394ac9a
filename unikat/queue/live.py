"""What a service asks Redis once a second: who is alive, what operators said, and how full it is."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field

from unikat.queue.clock import RedisClock
from unikat.queue.connection import Connection
from unikat.queue.control import ASK, Control, of_reply
from unikat.queue.workers import MAX_STATUS, WORKERS_KEY, WorkerStatus, worker_key

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveWorkers:
    """`memory_percent`: of Redis' maxmemory; 0: there is none."""

    statuses: list[WorkerStatus]
    memory_percent: float
    control: Control = field(default_factory=Control)


async def live_workers(redis: Connection, clock: RedisClock) -> LiveWorkers:
    """Who is alive; `clock` is set by the way. Raises RedisError."""
    # All names ever heard: whose status is there is alive, by Redis's clock and not by one that may differ.
    first = [("ZRANGE", WORKERS_KEY, 0, -1), ("INFO", "memory"), ("TIME",), ASK]
    names, memory, time, said = await redis.execute_many(first)
    for reply in (names, memory, time):
        if isinstance(reply, Exception):
            raise reply
    clock.set(int(time[0]) + int(time[1]) / 1e6)
    # GETRANGE and not MGET: what is larger than a status is not even fetched.
    wanted = [("GETRANGE", worker_key(name.decode(errors="replace")), 0, MAX_STATUS) for name in names]
    texts = await redis.execute_many(wanted) if wanted else []
    statuses = []
    for name, text in zip(names, texts, strict=True):
        if text == b"":  # there is no such worker any more
            continue
        try:
            if isinstance(text, Exception):
                raise ValueError(str(text))
            statuses.append(WorkerStatus.from_json(text))
        except ValueError as error:
            log.warning("Worker %r says something that is not a status: %s", name, error)
    return LiveWorkers(statuses, _memory_percent(memory), of_reply(said))


def _memory_percent(info: bytes) -> float:
    found = dict(re.findall(rb"^(used_memory|maxmemory):(\d+)", info, re.MULTILINE))
    limit = int(found.get(b"maxmemory", 0))
    return 100 * int(found.get(b"used_memory", 0)) / limit if limit else 0.0
