"""Callers with tokens and certificates, as a service that is reached by others knows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from redis import Redis

from tests.service.conftest import Serving, serving_on
from tests.support.valkey import Valkey
from unikat.cli.authority import Authority, KeyPair
from unikat.queue.tokens import create

LOCAL = ("localhost", "127.0.0.1")


def make_token(redis: Redis, name: str, *scopes: str, lifetime: float | None = None) -> str:
    """The text of a new token."""
    return create(redis, name, scopes or ("generate", "batch"), lifetime)[1]


@dataclass
class Locked:
    """A service behind TLS, and the authority that signed its certificate."""

    serving: Serving
    authority: Authority
    folder: Path

    @contextmanager
    def channel(
        self, token: str = "", pair: KeyPair | None = None, root: bytes | None = None
    ) -> Iterator[grpc.Channel]:
        """A connection that shows a token, a certificate, both or nothing."""
        credentials = channel_credentials(root or self.authority.root, token, pair)
        with grpc.secure_channel(self.serving.target, credentials) as channel:
            yield channel


def channel_credentials(root: bytes, token: str = "", pair: KeyPair | None = None) -> grpc.ChannelCredentials:
    shown = (pair.key, pair.certificate) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(root, *shown)
    if not token:
        return credentials
    return grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))


@contextmanager
def locked_service(valkey: Valkey, folder: Path, mutual: bool = False, **settings: str) -> Iterator[Locked]:
    """A service with a certificate in `folder`; with `mutual`, it asks for one of its callers."""
    authority = Authority.create()
    authority.issue_server(LOCAL, 1).save(folder, "tls")
    environment = {"UNIKAT_TLS_CERT": str(folder / "tls.crt"), "UNIKAT_TLS_KEY": str(folder / "tls.key")}
    if mutual:
        environment["UNIKAT_TLS_CA"] = str(folder / "ca.crt")
    with serving_on(valkey, **environment, **settings) as serving:
        yield Locked(serving, authority, folder)


def contents(redis: Redis) -> dict[bytes, object]:
    """Everything in Redis, by key, to compare; without times to live, and whatever the order in tables."""
    found: dict[bytes, object] = {}
    for key in redis.scan_iter("*"):
        kind = redis.type(key)
        found[key] = (
            redis.hgetall(key) if kind == b"hash" else redis.smembers(key) if kind == b"set" else redis.dump(key)
        )
    return found
