"""All that is going on, read from Redis without writing anything: what `unikat top` shows.

The user `monitor` of the ACL file may read what is read here: no results, so no images.
"""

# redis-py annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar, cast

from redis import Redis

from unikat.batches.record import BatchRecord
from unikat.conditions import is_finite
from unikat.json_text import parse_json
from unikat.queue.activity import MAX_ACTIVITY, STAGES, Activity, activity_key
from unikat.queue.batches.keys import OF_OWNER, OWNERS
from unikat.queue.batches.keys import queue_name as batch_queue_name
from unikat.queue.batches.store import BatchStore
from unikat.queue.draws import model_of
from unikat.queue.keys import QUEUES_KEY
from unikat.queue.workers import MAX_STATUS, WORKER_TTL, WORKERS_KEY, WorkerStatus, worker_key

_SAMPLED: Final = 500  # jobs that wait whose work is read; of more, it is estimated from these
_BATCHES: Final = 20  # that are read, the oldest of each owner first
_PREFIX: Final = "rq:queue:"

T = TypeVar("T")


@dataclass(frozen=True)
class ModelQueue:
    """Jobs of calls that wait for "name@version"; `work_s` is what they are expected to take, None: not known."""

    model: str
    jobs: int
    callers: int
    work_s: float | None
    workers: int


@dataclass(frozen=True)
class LiveWorker:
    """A worker that beats; `age` is of its last beat (s). One of an older release has no `activity`."""

    status: WorkerStatus
    activity: Activity | None
    is_busy: bool
    age: float


@dataclass(frozen=True)
class OpenBatch:
    """A batch that has not ended, and how many of its shards wait."""

    record: BatchRecord
    waiting: int


@dataclass(frozen=True)
class Overview:
    """Everything at one moment. `memory`, `max_memory`: of Redis (bytes; 0: no limit). `open_batches` counts all."""

    at: float
    memory: int = 0
    max_memory: int = 0
    queues: Sequence[ModelQueue] = ()
    workers: Sequence[LiveWorker] = ()
    batches: Sequence[OpenBatch] = ()
    open_batches: int = 0
    unreadable: Sequence[str] = field(default_factory=list)  # workers that say something else

    @property
    def latencies(self) -> dict[str, list[float]]:
        """For each of STAGES, the seconds of the jobs that were finished in the last minute, in order."""
        recent = [times for worker in self.workers if worker.activity for times in worker.activity.recent]
        return {stage: sorted(times[place] for times in recent) for place, stage in enumerate(STAGES)}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that so many per cent of them are not above (nearest rank). Raises IndexError for none."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def read_overview(redis: Redis) -> Overview:
    """`redis` does not decode its responses. Raises RedisError."""
    pipe = redis.pipeline(transaction=False)
    pipe.zrange(WORKERS_KEY, 0, -1)
    pipe.smembers(QUEUES_KEY)
    pipe.lrange(OWNERS, 0, -1)
    pipe.info("memory")
    pipe.time()
    names, queues, owners, memory, (seconds, microseconds) = pipe.execute()
    now = seconds + microseconds / 1e6
    workers, unreadable = _workers(redis, sorted(_text(name) for name in names), now)
    batches, count = _batches(redis, [_text(owner) for owner in owners])
    return Overview(
        at=now,
        memory=int(memory.get("used_memory", 0)),
        max_memory=int(memory.get("maxmemory", 0)),
        queues=_queues(redis, sorted(_text(key).removeprefix(_PREFIX) for key in queues), workers),
        workers=workers,
        batches=batches,
        open_batches=count,
        unreadable=unreadable,
    )


def _workers(redis: Redis, names: Sequence[str], now: float) -> tuple[list[LiveWorker], list[str]]:
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.getrange(worker_key(name), 0, MAX_STATUS)
        pipe.getrange(activity_key(name), 0, MAX_ACTIVITY)
        pipe.hget(f"rq:worker:{name}", "state")
    replies = iter(pipe.execute(raise_on_error=False))
    found, unreadable = [], []
    for name, status, activity, state in zip(names, *[replies] * 3, strict=True):
        if status == b"":  # it is gone
            continue
        try:
            said = WorkerStatus.from_json(_bytes(status))
            doing = Activity.from_json(_bytes(activity)) if activity else None
        except ValueError:
            unreadable.append(name)
            continue
        age = max(0.0, min(now - said.beat_at, WORKER_TTL))
        found.append(LiveWorker(said, doing, state == b"busy", age))
    return found, unreadable


def _queues(redis: Redis, names: Sequence[str], workers: Iterable[LiveWorker]) -> list[ModelQueue]:
    """Of every model that a worker serves, and of every other that jobs wait for."""
    of_model: dict[str, list[str]] = {}
    serving: dict[str, int] = {}
    for worker in workers:
        for key in worker.status.models:
            serving[key] = serving.get(key, 0) + 1
    for name in names:
        if model := model_of(name):
            of_model.setdefault(model.rpartition(".")[0], []).append(name)
    every = [name for queues in of_model.values() for name in queues]
    lengths, work = _lengths(redis, every)
    found = []
    for model in sorted({*of_model, *serving}):
        queues = [name for name in of_model.get(model, ()) if lengths[name]]
        known = [work[name] for name in queues]
        seconds = sum(each for each in known if each is not None) if None not in known else None
        total = sum(lengths[name] for name in queues)
        found.append(ModelQueue(model, total, len(queues), seconds, serving.get(model, 0)))
    return found


def _lengths(redis: Redis, queues: Sequence[str]) -> tuple[dict[str, int], dict[str, float | None]]:
    """Of each queue the jobs that wait and the seconds of work that they are expected to take; None: not known."""
    each = max(1, _SAMPLED // max(1, len(queues)))
    pipe = redis.pipeline(transaction=False)
    for name in queues:
        pipe.llen(_PREFIX + name)
        pipe.lrange(_PREFIX + name, 0, each - 1)
    replies = iter(pipe.execute())
    sampled = {name: (length, list(ids)) for name, length, ids in zip(queues, *[replies] * 2, strict=True)}
    pipe = redis.pipeline(transaction=False)
    for _, ids in sampled.values():
        for id in ids:
            pipe.hget(f"rq:job:{_text(id)}", "unikat")
    extras = iter(pipe.execute())
    work: dict[str, float | None] = {}
    for name, (length, ids) in sampled.items():
        seconds = [_seconds(extra) for extra in islice(extras, len(ids))]
        work[name] = sum(seconds) * length / len(seconds) if all(seconds) and seconds else None if length else 0.0
    return {name: length for name, (length, _) in sampled.items()}, work


def _seconds(extra: bytes | None) -> float:
    """Of work that a job says; 0: nobody knew, or somebody else wrote it."""
    try:
        found = parse_json(extra or b"{}").get("seconds", 0.0)
    except (ValueError, AttributeError):
        return 0.0
    return float(found) if is_finite(found) and found > 0 else 0.0


def _batches(redis: Redis, owners: Sequence[str]) -> tuple[list[OpenBatch], int]:
    pipe = redis.pipeline(transaction=False)
    for owner in owners:
        pipe.lrange(OF_OWNER + owner, 0, -1)
    lists = [[_text(id) for id in ids] for ids in cast(list[list[bytes]], pipe.execute())]
    records = BatchStore(redis).read_many(list(islice(_by_turns(lists), _BATCHES)))
    pipe = redis.pipeline(transaction=False)
    for record in records:
        pipe.llen(_PREFIX + batch_queue_name(record.id))
    return [OpenBatch(*each) for each in zip(records, pipe.execute(), strict=True)], sum(map(len, lists))


def _by_turns(lists: Sequence[Sequence[T]]) -> Iterator[T]:
    """The first of each, then the second of each, and so on."""
    for place in range(max(map(len, lists), default=0)):
        yield from (each[place] for each in lists if place < len(each))


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _bytes(value: Any) -> bytes:  # noqa: ANN401  (what redis-py returns, an error where the key is of another type)
    if not isinstance(value, bytes):
        raise ValueError(f"not a text: {value!r}")
    return value
