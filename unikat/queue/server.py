"""What a Redis or Valkey must be for the queue. It is looked at when a program starts, and by `unikat doctor`."""

# redis-py annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any, Final

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from unikat.queue.acl import COMMANDS
from unikat.queue.unready import PASSING, Unready

OLDEST: Final = (7, 0)  # scripts that begin with `#!lua`: a full server refuses them whole
PROBE_KEY: Final = "unikat:probe:"
FULL: Final = 0.8  # of maxmemory, from which on services refuse calls as they come

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # seconds between tries
_REPEAT_S: Final = 10.0  # after which a reason to wait that stays the same is said again
_DECLARED: Final = "which wants every key of a script declared; many of ours follow from what a script finds"
_ONE_SERVER: Final = "Use one Redis or Valkey server, with replicas and Sentinels for failover"


class Unfit(Exception):
    """The server cannot be used; the message says why, and what to do."""


def wait_until_fit(redis: Redis, say: Callable[[str], None], allow_volatile: bool, stop: Event | None = None) -> None:
    """Return when the server answers, is what it must be, and takes writes, or when told to `stop`.

    `say` gets what is waited for. Raises Unfit.
    """
    stop = stop or Event()
    pause, said, said_at = _FIRST_PAUSE, "", 0.0
    while not stop.is_set():
        try:
            check(redis, allow_volatile)
            return
        except AuthenticationError as error:
            raise Unfit(f"it refuses the user name or the password: {error}") from error
        except PASSING as error:
            if str(error) != said or time.monotonic() - said_at > _REPEAT_S:
                said, said_at = str(error), time.monotonic()
                say(f"waiting for Redis: {error}")
        except RedisError as error:
            raise Unfit(str(error)) from error
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def check(redis: Redis, allow_volatile: bool) -> None:
    """Raises Unfit, and RedisError of a server that does not answer or cannot serve now."""
    info = redis.info()
    found = list(_never_works(info)) or list(_missing_commands(redis))
    if not (found or allow_volatile):
        found = [f"{each}. Or say --allow-volatile, where jobs may be lost" for each in volatile(redis, info)]
    if found:
        raise Unfit("; ".join(found))
    write_and_read(redis)


def write_and_read(redis: Redis) -> None:
    """One key. Raises RedisError where the server takes no writes."""
    value = secrets.token_hex(8)
    key = PROBE_KEY + value  # others look at the same time
    redis.set(key, value, px=1000)
    if redis.get(key) not in (value, value.encode()):
        raise Unready("it does not return what was written a moment ago")


def problems(redis: Redis, info: Mapping[str, Any]) -> list[str]:
    """All that is wrong with the server that answered INFO with `info`. Raises RedisError."""
    return list(_never_works(info)) or [*_missing_commands(redis), *volatile(redis, info)]


def _never_works(info: Mapping[str, Any]) -> Iterator[str]:
    mode = {info.get("redis_mode"), info.get("server_mode")}
    version = str(info.get("redis_version", "0"))  # Valkey gives the version of Redis that it is compatible with
    if "dragonfly_version" in info:
        yield f"it is Dragonfly, {_DECLARED}. {_ONE_SERVER}"
    elif "sentinel" in mode:
        yield "it is a Sentinel. Name the Sentinels and their service: redis+sentinel://host:26379,host:26379/service"
    elif "cluster" in mode:
        yield f"it is a cluster, {_DECLARED}. {_ONE_SERVER}"
    elif tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        yield f"it is version {version}; the oldest that works is {OLDEST[0]}.{OLDEST[1]}"


def _missing_commands(redis: Redis) -> Iterator[str]:
    """Old servers, imitations, and operators who rename commands."""
    names = sorted({command.partition("|")[0] for command in COMMANDS})
    replies = _asked(redis, "COMMAND INFO", *names) or []
    missing = [name.upper() for name, reply in zip(names, replies, strict=False) if not reply]
    if missing:
        yield f"it lacks {', '.join(missing)}. Take `rename-command` out of its configuration, or use another server"


def volatile(redis: Redis, info: Mapping[str, Any]) -> Iterator[str]:
    """How the server forgets jobs."""
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        yield f"it evicts keys ({policy}), and jobs are lost. Set `maxmemory-policy noeviction`"
    if int(info.get("aof_enabled", 0)):
        return
    snapshots = _asked(redis, "CONFIG GET", "save")  # hosted servers do not say
    if snapshots is not None and not snapshots.get("save"):
        yield "it keeps nothing on disk, and jobs are lost when it ends. Set `appendonly yes`"


def _asked(redis: Redis, *command: str) -> Any:  # noqa: ANN401  (whatever Redis replies)
    """The reply to a command; None where this user may not know."""
    try:
        return redis.execute_command(*command)
    except Unready:
        raise
    except ResponseError:
        return None
