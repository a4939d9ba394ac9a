"""A server that cannot serve now says so in words, to each kind of client, and programs that start wait for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import BusyLoadingError, OutOfMemoryError, TimeoutError

from tests.support.processes import Program, eventually
from tests.support.proxy import running_proxy
from tests.support.unready import CONFIG, WAYS
from tests.support.valkey import Valkey, running_valkey
from unikat.queue.clients import connect
from unikat.queue.connection import Connection
from unikat.queue.scripts import script
from unikat.queue.unready import PASSING, NotPrimary, Unready

WORDS = {
    "READONLY": (NotPrimary, "it is a replica and takes no writes"),
    "MASTERDOWN": (NotPrimary, "it is a replica that has lost its primary"),
    "MISCONF": (Unready, "it cannot write to its disk"),
    "NOREPLICAS": (Unready, "min-replicas-to-write"),
    "OOM": (OutOfMemoryError, "its memory is full"),
    "BUSY": (Unready, "a script that somebody runs on it takes long"),
    "LOADING": (BusyLoadingError, "it is still reading its data from disk"),
}


@pytest.fixture(scope="module")
def frail() -> Iterator[Valkey]:
    """A server that each test brings into one of the ways in which it cannot serve."""
    with running_valkey("everysec", **CONFIG) as valkey:
        yield valkey


@pytest.mark.parametrize("code", WAYS)
def test_its_reply_has_a_class_and_words_for_every_kind_of_client(frail: Valkey, code: str) -> None:
    kind, words = WORDS[code]
    command = ("GET", "a") if code == "MASTERDOWN" else ("SET", "a", "1")  # a write is refused as READONLY there
    with connect(frail.tcp_url, "test") as redis, ThreadPoolExecutor(4) as threads:
        tries: list[Callable[[], object]] = [
            lambda: redis.execute_command(*command),
            lambda: redis.pipeline().execute_command(*command).execute(),
            lambda: redis.pipeline(transaction=False).execute_command(*command).execute(),
            lambda: asyncio.run(_execute(frail, command)),
        ]
        with WAYS[code](frail):
            # At once: a server that loads answers now and then, and is through with it in seconds.
            raised = [future.exception() for future in [threads.submit(each) for each in tries]]
        for error in raised:
            assert isinstance(error, kind), error
            assert isinstance(error, PASSING)
            assert re.search(rf"{words}.*\({code}\)", str(error))
        assert redis.set("a", "1")


@pytest.mark.parametrize("code", ["READONLY", "MISCONF", "NOREPLICAS", "OOM", "BUSY"])
def test_a_script_is_refused_in_the_same_words(frail: Valkey, code: str) -> None:
    kind, words = WORDS[code]
    command = script("close").command("no-job", 3, b"", 60, 100)
    with connect(frail.tcp_url, "test") as redis:
        redis.execute_command(*script("close").load)
        with WAYS[code](frail), pytest.raises(kind, match=words):
            redis.execute_command(*command)


async def _execute(valkey: Valkey, command: tuple[str, ...]) -> None:
    connection = Connection(valkey.tcp_url, "test")
    try:
        await connection.execute(*command)
    finally:
        await connection.close()


def test_who_waits_hears_that_the_server_has_become_a_replica(frail: Valkey) -> None:
    async def work() -> None:
        told: list[int] = []
        connection = Connection(frail.tcp_url, "test", moved=lambda: told.append(1))
        waiting = asyncio.create_task(connection.execute("BLPOP", "nothing", 30))
        with frail.client() as redis:
            await asyncio.to_thread(eventually, lambda: redis.info("clients")["blocked_clients"])
        with WAYS["READONLY"](frail), pytest.raises(NotPrimary):
            await waiting
        await connection.close()
        assert told

    asyncio.run(work())


@pytest.mark.parametrize("code", [code for code in WAYS if code != "MASTERDOWN"])
@pytest.mark.parametrize("module", ["unikat_service", "unikat_worker"])
def test_a_program_that_starts_says_why_it_waits(frail: Valkey, module: str, code: str) -> None:
    env = {"UNIKAT_REDIS_URL": frail.tcp_url, "UNIKAT_LISTEN": "127.0.0.1:0", "UNIKAT_ALLOW_VOLATILE": "0"}
    with WAYS[code](frail), Program(module, env=env) as program:
        program.wait_for_line(f"waiting for Redis: .*{WORDS[code][1]}")
        assert program.process.poll() is None


def test_one_dead_connection_of_a_pool_is_waited_for_and_not_every_one(frail: Valkey) -> None:
    with (
        running_proxy(f"127.0.0.1:{frail.port}") as proxy,
        connect(f"redis://{proxy.target}", "test", socket_timeout=0.5) as redis,
        ThreadPoolExecutor(4) as threads,
    ):
        list(threads.map(lambda _: redis.blpop(["nothing"], 0.1), range(4)))  # four at a time: four connections
        assert proxy.passed == 4
        proxy.half_open()
        with pytest.raises(TimeoutError):
            redis.ping()
        assert redis.ping()
