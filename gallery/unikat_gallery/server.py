"""The gallery's process: put together, run, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from unikat.aio import AsyncStudio
from unikat.mark_keys import read_mark_keys
from unikat.registry import Registry
from unikat_gallery.app import make_app
from unikat_gallery.context import Context
from unikat_gallery.database import open_database
from unikat_gallery.images import Drawer, Images
from unikat_gallery.settings import Settings

GRACE_S: Final = 2  # for what runs when it is asked to stop: a wall goes on by itself where it was
RECONNECT_S: Final = 20.0  # that a drawing waits for a service that does not answer
REGISTRY_RECONNECT_S: Final = 3.0  # that somebody waits for a registry that does not answer
MOST_CONNECTIONS: Final = 1024


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    settings.begin_log()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(settings))
    except (OSError, ValueError) as error:
        print(f"gallery: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # uvicorn raises it again once everything has ended
        pass
    return 0


async def _serve(settings: Settings) -> None:
    with _bound(settings.listen) as listening:
        async with _context(settings) as context, _observed(context) as app:
            config = uvicorn.Config(
                app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
                server_header=False, proxy_headers=False, timeout_graceful_shutdown=GRACE_S,
                limit_concurrency=MOST_CONNECTIONS,
            )  # fmt: skip
            await _Server(config, settings.listen).serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Says where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, listen: str) -> None:
        super().__init__(config)
        self._host = listen.rpartition(":")[0]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        port = sockets[0].getsockname()[1] if sockets else 0
        print(f"gallery ready: http://{self._host}:{port}/ pid={os.getpid()}", flush=True)


@asynccontextmanager
async def _observed(context: Context) -> AsyncIterator[ASGIApp]:
    """The application; where numbers for Prometheus are asked for, it is measured meanwhile. Raises OSError."""
    app = make_app(context)
    if not context.settings.metrics:
        yield app
        return
    from unikat_gallery.metrics import observed  # with prometheus-client

    with observed(app, context) as measured:
        yield measured


@asynccontextmanager
async def _context(settings: Settings) -> AsyncIterator[Context]:
    """Raises OSError and ValueError for what cannot be used."""
    marks = read_mark_keys(settings.mark_keys)
    engine = await asyncio.to_thread(open_database, settings.database)
    identity = (settings.cert, settings.cert_key) if settings.cert and settings.cert_key else None
    with ExitStack() as exits:
        exits.callback(engine.dispose)
        registry = exits.enter_context(_registry(settings, identity)) if settings.registry else None
        async with AsyncStudio(
            settings.target, tls=settings.tls, ca=settings.ca, identity=identity, reconnect_timeout=RECONNECT_S
        ) as studio:
            drawer = Drawer(studio, Images(settings.cache_mb * 2**20))
            yield Context(settings, studio, engine, drawer, marks, registry)


def _registry(settings: Settings, identity: tuple[Path, Path] | None) -> Registry:
    """Raises OSError for a file that cannot be read."""
    again = REGISTRY_RECONNECT_S
    return Registry(settings.registry, tls=settings.tls, ca=settings.ca, identity=identity, reconnect_timeout=again)


def _bound(listen: str) -> socket.socket:
    """A socket at the address. Raises OSError where it is taken."""
    host, _, port = listen.rpartition(":")
    bare = host.strip("[]")
    bound = socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((bare, int(port)))
    except OSError as error:
        bound.close()
        raise OSError(f"cannot listen on {listen}: {os.strerror(error.errno or 0)}") from error
    return bound
