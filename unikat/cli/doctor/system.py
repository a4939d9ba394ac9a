"""What runs: the service, Redis, workers, what waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from unikat.cli import options
from unikat.cli.doctor.finding import Finding, Level
from unikat.cli.output import counted
from unikat.cli.problems import Problem
from unikat.cli.up.address import redis_url_of

_NAMED: Final = 4  # workers that are listed each

if TYPE_CHECKING:
    from redis import Redis

    from unikat.queue.overview import Overview
    from unikat.queue.workers import WorkerStatus


def service(at: options.Service) -> Iterator[Finding]:
    """Whether the service answers, and what it offers."""
    from unikat.errors import UnikatError

    try:
        with at.studio() as studio:
            models = studio.models(timeout=5)
    except UnikatError as error:
        remedy = "start `unikat up`, or say where it is with --target or UNIKAT_TARGET"
        yield Finding(Level.PROBLEM, "service", str(error), remedy)
        return
    except OSError as error:
        yield Finding(Level.PROBLEM, "service", f"{error.filename}: {error.strerror}", "name a file that can be read")
        return
    except Problem as problem:
        yield Finding(Level.PROBLEM, "service", problem.message)
        return
    offered = ", ".join(f"{model.name}@{model.version}" for model in models)
    if offered:
        yield Finding(Level.OK, "service", f"{at.target} answers and offers {offered}")
    else:
        remedy = "start a worker with --models on a folder that holds a bundle; `unikat models history` says whether "
        remedy += "all were unloaded"
        yield Finding(Level.PROBLEM, "service", f"{at.target} answers, but offers no model", remedy)


def redis(url: str | None, data: Path) -> Iterator[Finding]:
    """Whether Redis answers, and which workers are alive. Without a URL, the Valkey of `unikat up` is looked for."""
    if find_spec("redis") is None:
        return
    from redis.exceptions import AuthenticationError, RedisError

    from unikat.queue.clients import connect, shown
    from unikat.queue.overview import read_overview

    asked_for = url is not None
    url = url or redis_url_of(data)
    try:
        with connect(url, "unikat-doctor", decode_responses=True) as connection:
            facts = connection.info()
            yield from _server(shown(url), connection, facts)
        with connect(url, "unikat-doctor") as connection:
            overview = read_overview(connection)
        for check in (_memory, _workers, _waiting):
            yield from check(overview)
    except AuthenticationError as error:
        remedy = "put the user's name and password into the URL: redis://name:password@host:6379"
        yield Finding(Level.PROBLEM, "Redis", f"{shown(url)} refuses the user name or the password: {error}", remedy)
    except (RedisError, OSError, ValueError) as error:
        level = Level.PROBLEM if asked_for else Level.NOTE
        remedy = "start `unikat up`, or say where it is with --redis-url or UNIKAT_REDIS_URL"
        yield Finding(level, "Redis", f"{shown(url)} does not answer: {error}", remedy)


def _server(name: str, connection: Redis, facts: dict[str, Any]) -> Iterator[Finding]:
    from redis.exceptions import RedisError

    from unikat.queue.server import problems, write_and_read

    kind = "Valkey" if "valkey_version" in facts else "Redis"
    number = facts.get("valkey_version") or facts.get("redis_version")
    yield Finding(Level.OK, "Redis", f"{name} answers: {kind} {number}, {facts.get('used_memory_human')} used")
    found = problems(connection, facts)
    for problem in found:
        what, _, remedy = problem.partition(". ")
        yield Finding(Level.PROBLEM, "Redis", what, remedy)
    if not (facts.get("aof_enabled") or found):
        remedy = "set `appendonly yes`, or what was queued since the last snapshot is lost when it ends"
        yield Finding(Level.NOTE, "Redis", "does not write an append-only file", remedy)
    try:
        write_and_read(connection)
    except RedisError as error:
        remedy = "programs wait until it does; its log and `redis-cli info` say more"
        yield Finding(Level.PROBLEM, "Redis", f"takes no writes: {error}", remedy)
    else:
        yield Finding(Level.OK, "Redis", "a key was written and read", detail=True)


def _workers(overview: Overview) -> Iterator[Finding]:
    """Who is alive; more than a few are counted, and listed with --all."""
    from unikat.queue.workers import LATE_BEAT_S

    every = overview.workers
    if not every:
        yield Finding(Level.PROBLEM, "workers", "none is alive", "start one: `unikat work`, or all with `unikat up`")
        return
    if len(every) > _NAMED:
        devices = ", ".join(sorted({worker.status.device for worker in every}))
        yield Finding(Level.OK, "workers", f"{len(every)} are alive ({devices}); `unikat top` shows what each does")
    for worker in every:
        is_late = worker.age > LATE_BEAT_S
        found = _told(worker.status) + (f"; nothing was heard of it for {worker.age:.0f} s" if is_late else "")
        remedy = "look at its machine: others take its jobs within seconds where it is gone" if is_late else ""
        level, detail = (Level.NOTE, False) if is_late else (Level.OK, len(every) > _NAMED)
        yield Finding(level, f"worker {worker.status.name}", found, remedy, detail)
    for name in overview.unreadable:
        remedy = "somebody else writes this key, or the worker is of a later release: look what it is"
        yield Finding(Level.PROBLEM, f"worker {name}", "says something that is not a status", remedy)


def _told(worker: WorkerStatus) -> str:
    models = ", ".join(sorted(worker.models)) or "no model"
    gate = f"; content gate {worker.content_gate}" if worker.content_gate else ""
    counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(worker.refused.items()))
    refused = f"; refused since it began: {counts}" if counts else ""
    return f"{models} on {worker.device} ({worker.provider}){gate}{refused}"


def _waiting(overview: Overview) -> Iterator[Finding]:
    """Work that does not get on."""
    for queue in overview.queues:
        if queue.jobs and not queue.workers and overview.workers:
            found = f"{counted(queue.jobs, 'job')} wait for {queue.model}, which no live worker serves"
            remedy = "start a worker whose --models folder has it; `unikat models history` says whether it was unloaded"
            yield Finding(Level.PROBLEM, "queue", found, remedy)
    for each in overview.batches:
        batch = each.record.to_message()
        if batch.HasField("pause"):
            remedy = "nothing is lost: it goes on by itself when that works again"
            yield Finding(Level.PROBLEM, f"batch {batch.id}", f"is paused: {batch.pause.reason}", remedy)


def _memory(overview: Overview) -> Iterator[Finding]:
    from unikat.queue.server import FULL

    if overview.max_memory and overview.memory > FULL * overview.max_memory:
        percent = 100 * overview.memory / overview.max_memory
        remedy = "raise its maxmemory, or delete batches that have ended: a full one takes no new calls"
        yield Finding(Level.PROBLEM, "Redis", f"is filled to {percent:.0f}% of its maxmemory", remedy)
