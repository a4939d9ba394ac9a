"""A real Valkey that cannot serve, in each way that there is, until the end of a block."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from tests.support.processes import eventually
from tests.support.valkey import Valkey

# Snapshots, which need not come; and a pause of 20 µs or more for each key that is loaded.
CONFIG: Final = {"save": "3600 1000000", "busy_reply_threshold": "50", "key_load_delay": "20"}


@contextmanager
def replica(valkey: Valkey) -> Iterator[None]:
    """READONLY, to those who write; UNBLOCKED, to those who were waiting."""
    with valkey.client() as redis, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        redis.replicaof("127.0.0.1", nobody.getsockname()[1])
        yield
        redis.replicaof("NO", "ONE")


@contextmanager
def lost_replica(valkey: Valkey) -> Iterator[None]:
    """MASTERDOWN, to everybody."""
    with valkey.client() as redis:
        redis.config_set("replica-serve-stale-data", "no")
        with replica(valkey):
            yield


@contextmanager
def unsaved(valkey: Valkey) -> Iterator[None]:
    """MISCONF: a folder is where the snapshot is to go."""
    there = valkey.directory / "dump.rdb"
    with valkey.client() as redis:
        there.unlink(missing_ok=True)
        there.mkdir()
        (there / "something").touch()
        _save(redis, "err")
        yield
        shutil.rmtree(there)
        _save(redis, "ok")


def _save(redis: Redis, outcome: str) -> None:
    def has_ended() -> bool:
        info = redis.info("persistence")
        if info["rdb_last_bgsave_status"] == outcome:
            return True
        if not info["rdb_bgsave_in_progress"]:
            with suppress(RedisError):
                redis.bgsave()
        return False

    eventually(has_ended)


@contextmanager
def alone(valkey: Valkey) -> Iterator[None]:
    """NOREPLICAS."""
    with valkey.client() as redis:
        redis.config_set("min-replicas-to-write", 1)
        yield
        redis.config_set("min-replicas-to-write", 0)


@contextmanager
def full(valkey: Valkey) -> Iterator[None]:
    """OOM."""
    with valkey.client() as redis:
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] // 2)
        yield
        redis.config_set("maxmemory", 0)


@contextmanager
def busy(valkey: Valkey) -> Iterator[None]:
    """BUSY."""
    with valkey.client() as redis, valkey.client() as other:
        thread = threading.Thread(target=_loop_for_ever, args=(other,))
        thread.start()
        eventually(lambda: _is_refused(redis))
        yield
        redis.script_kill()
        thread.join()


def _loop_for_ever(redis: Redis) -> None:
    with suppress(RedisError):
        redis.eval("while true do end", 0)


@contextmanager
def loading(valkey: Valkey) -> Iterator[None]:
    """LOADING: started anew, with more data than it reads at once."""
    with valkey.client() as redis:
        keys = [f"weight:{number}" for number in range(20_000)]
        with redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.set(key, "x")
            pipe.execute()
    valkey.kill()
    thread = threading.Thread(target=valkey.start)
    thread.start()
    with valkey.client() as redis:
        eventually(lambda: _is_refused(redis))
        yield
        thread.join()
        redis.delete(*keys)


def _is_refused(redis: Redis) -> bool:
    try:
        redis.get("a")
    except RedisError as error:
        return "Connection refused" not in str(error) and "No such file" not in str(error)
    time.sleep(0.01)
    return False


WAYS: Final[dict[str, Callable[[Valkey], AbstractContextManager[None]]]] = {
    "READONLY": replica, "MASTERDOWN": lost_replica, "MISCONF": unsaved, "NOREPLICAS": alone, "OOM": full,
    "BUSY": busy, "LOADING": loading,
}  # fmt: skip
