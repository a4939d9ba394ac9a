"""A connection on which many commands are sent in one write, and their replies read later, in order."""

# redis-py annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from unikat.queue.scripts import HOT, Command, script

_LOADS: Final = [script(name).load for name in HOT]


class Link:
    """For one thread. A pipeline of redis-py costs 30 to 60 µs of Python a round trip, this about 10.

    Whatever is raised but a reply's own error closes the connection: what was sent may or may not have been done.
    """

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._connection: Any = None
        self.round_trips = self.sent_bytes = 0

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands in one write. Raises RedisError."""
        try:
            if self._connection is None:
                self._open()
            connection = self._connection
            packed = connection.pack_commands(commands)
            self.round_trips += 1
            self.sent_bytes += sum(map(len, packed))
            connection.send_packed_command(packed, check_health=False)
        except BaseException:
            self.close()
            raise

    def receive(self) -> Any:  # noqa: ANN401  (whatever Redis replies)
        """The next reply. Raises RedisError; one that says that a script is unknown makes the scripts known."""
        try:
            reply = self._connection.read_response()
        except NoScriptError:  # Redis was restarted: what was sent with it was not done either
            self.close()
            raise
        except ResponseError:  # the next reply can be read
            raise
        except BaseException:
            self.close()
            raise
        return reply

    def close(self) -> None:
        """Drop the connection; the next `send` opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)

    def _open(self) -> None:
        connection = self._pool.get_connection()
        self._connection = connection
        connection.send_packed_command(connection.pack_commands(_LOADS), check_health=False)
        for _ in _LOADS:
            connection.read_response()
