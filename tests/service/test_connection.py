"""The connection that all coroutines of a service share: every command gets its own reply, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError, ResponseError

from tests.support.proxy import running_proxy
from tests.support.valkey import Valkey
from unikat.queue import connection as module
from unikat.queue.connection import MAX_PAUSE_S, Connection
from unikat.queue.scripts import script


def run(url: str, work: Callable[[Connection], Awaitable[None]]) -> None:
    async def whole() -> None:
        connection = Connection(url, "test")
        try:
            await work(connection)
        finally:
            await connection.close()

    asyncio.run(whole())


def test_a_caller_that_is_cancelled_takes_no_reply_of_others(valkey: Valkey) -> None:
    async def work(connection: Connection) -> None:
        tasks = [asyncio.ensure_future(connection.execute("ECHO", n)) for n in range(300)]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [int(reply) for reply in replies if isinstance(reply, bytes)]
        assert kept == [n for n in range(300) if n % 3]
        assert await connection.execute("ECHO", "last") == b"last"

    run(valkey.url, work)


def test_an_error_is_that_of_one_command(valkey: Valkey) -> None:
    async def work(connection: Connection) -> None:
        first, second, third = await connection.execute_many([("SET", "a", 1), ("LPOP", "a"), ("GET", "a")])
        assert (first, third) == (b"OK", b"1")
        assert isinstance(second, ResponseError)
        with pytest.raises(ResponseError):
            await connection.execute("LPOP", "a")

    run(valkey.url, work)


def test_scripts_that_redis_forgot_are_taught_again(valkey: Valkey) -> None:
    async def work(connection: Connection) -> None:
        for _ in range(2):
            assert await connection.run(script("inspect"), 60, "no-job", "s/1") == [[b"", 0, -1]]
            await connection.execute("SCRIPT", "FLUSH")

    run(valkey.url, work)


def test_a_restart_is_not_noticed_and_an_absence_is_heard_at_once(durable_valkey: Valkey) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute("SET", "a", 1)
        durable_valkey.kill()
        durable_valkey.start()
        assert await connection.execute("GET", "a") == b"1"
        durable_valkey.kill()
        async with asyncio.timeout(3):
            with pytest.raises(ConnectionError):
                await connection.execute("GET", "a")
        durable_valkey.start()
        await asyncio.sleep(0.1)  # the pause after a refused connection
        assert await connection.execute("GET", "a") == b"1"

    run(durable_valkey.url, work)


def test_a_connection_that_goes_silent_while_it_is_made_is_given_up(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPLY_S", 0.3)
    with running_proxy(f"127.0.0.1:{valkey.port}") as proxy:

        async def work(connection: Connection) -> None:
            proxy.stall()
            async with asyncio.timeout(5):
                with pytest.raises(ConnectionError, match=r"TimeoutError|nothing came back in 0\.3 s"):
                    await connection.execute("PING")
            proxy.heal()
            await asyncio.sleep(MAX_PAUSE_S)
            assert await connection.execute("PING") == b"PONG"

        run(f"redis://{proxy.target}", work)
