"""The one place where clients of Redis are made: of one server, or of the primary that Sentinels name."""

# redis-py annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis.asyncio.sentinel as aio_sentinel
from redis import Redis
from redis.asyncio.connection import ConnectionPool as AsyncConnectionPool
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import ConnectionInterface, ConnectionPool, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from unikat.queue.unready import AsyncParser, Parser

REPLY_S: Final = 5.0  # that a reply is waited for
CONNECT_S: Final = 2.0
SENTINEL_S: Final = 1.0  # that a Sentinel may take to connect, and to reply: there are others
SENTINEL_PORT: Final = 26379

_SCHEMES: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
# The kernel finds a peer that vanished without a word within half a minute, also where nothing is sent.
_KEEPALIVE: Final = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
_PASSWORD: Final = re.compile(r"(?<=://)([^:@/]*:).*(?=@)|(password=)[^&]*")


def connect(url: str, name: str, *, retries: int = 0, **options: Any) -> Redis:  # noqa: ANN401  (redis-py's options)
    """A client that blocks, for any number of threads. It connects with its first command.

    `name` is shown by CLIENT LIST. After a connection that failed, a command is sent `retries` times more, at once:
    the connection may have been dead for long. Raises ValueError for a URL that is none.
    """
    own = _options(url, name) | {"socket_timeout": REPLY_S, "parser_class": Parser} | options
    own["retry"] = Retry(NoBackoff(), retries)
    primary = Primary.of(url)
    if primary is None:
        return Redis.from_pool(_Pool.from_url(url, **own))
    asked = primary.sentinel_options | {"retry": Retry(NoBackoff(), 0)}
    sentinel = Sentinel(primary.sentinels, sentinel_kwargs=asked)
    return Redis.from_pool(_SentinelPool(primary.service, sentinel, **own | primary.options))


def async_pool(url: str, name: str) -> AsyncConnectionPool:
    """Makes connections for asyncio, on which a reply is waited for without an end. Raises ValueError."""
    own = _options(url, name) | {"socket_timeout": None, "parser_class": AsyncParser, "protocol": 2}
    own["retry"] = AsyncRetry(NoBackoff(), 0)
    primary = Primary.of(url)
    if primary is None:
        return AsyncConnectionPool.from_url(url, **own)
    asked = primary.sentinel_options | {"retry": AsyncRetry(NoBackoff(), 0)}
    sentinel = aio_sentinel.Sentinel(primary.sentinels, sentinel_kwargs=asked)
    return aio_sentinel.SentinelConnectionPool(primary.service, sentinel, **own | primary.options)


def shown(url: str) -> str:
    """A URL without its passwords."""
    return _PASSWORD.sub(lambda found: (found[1] or found[2]) + "***", url)


@dataclass(frozen=True)
class Primary:
    """The server that Sentinels name as the primary of `service`.

    Options are those of redis-py's connections, to the server and to the Sentinels.
    """

    service: str
    sentinels: list[tuple[str, int]]
    options: dict[str, Any] = field(default_factory=dict)
    sentinel_options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str) -> Primary | None:
        """From redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/database].

        rediss+sentinel:// is TLS to all of them. `sentinel_username` and `sentinel_password` in the query are for the
        Sentinels, everything else is as in redis-py's URLs. None for another scheme. Raises ValueError.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            return None
        user, at, hosts = parts.netloc.rpartition("@")
        service, _, database = parts.path.strip("/").partition("/")
        if not (service and hosts):
            raise ValueError(f"{parts.scheme}:// is followed by host:port,host:port/service, service as in `monitor`")
        query = dict(parse_qsl(parts.query))
        login = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
        options = parse_url(f"{_SCHEMES[parts.scheme]}://{user}{at}/{database}?{urlencode(query)}")
        tls = {"ssl": options.pop("connection_class", None) is not None}
        asked = {name: value for name, value in options.items() if name.startswith("ssl_")} | tls
        asked |= {"socket_timeout": SENTINEL_S, "socket_connect_timeout": SENTINEL_S}
        asked |= {name: value for name, value in login.items() if value is not None}
        return cls(service, [_host_and_port(each) for each in hosts.split(",")], options | tls, asked)


class _Pool(ConnectionPool):
    """Idle connections go with one that failed: each may be as dead, or lead to a server that is a replica now."""

    def release(self, connection: ConnectionInterface) -> None:
        """Take a connection back that `get_connection` has given."""
        has_failed = not connection.is_connected
        super().release(connection)  # type: ignore[arg-type]  # narrower than what it implements
        if has_failed:
            self.disconnect(inuse_connections=False)


class _SentinelPool(_Pool, SentinelConnectionPool):
    """The same, of the primary that Sentinels name."""


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f'"{text}" is no address of a Sentinel: host:port')
    return parts.hostname, parts.port or SENTINEL_PORT


def _options(url: str, name: str) -> dict[str, Any]:
    options: dict[str, Any] = {"client_name": name, "socket_connect_timeout": CONNECT_S}
    if not url.startswith("unix:"):
        options |= {"socket_keepalive": True, "socket_keepalive_options": _KEEPALIVE}
    return options
