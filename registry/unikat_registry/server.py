"""The registry's process: put together, run, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from unikat.aio import AsyncStudio
from unikat.call_records import ANONYMOUS, Records
from unikat.mark_keys import read_mark_keys
from unikat.transparency import SigningKey, TransparencyError
from unikat.transparency.keys import read_signing_keys
from unikat_registry.certificates import Certificates
from unikat_registry.claims import Claims
from unikat_registry.database import open_database
from unikat_registry.examination import Examiner
from unikat_registry.gallery import Gallery
from unikat_registry.log import Log
from unikat_registry.provenance import NAME, Provenance
from unikat_registry.publication import RolledBack
from unikat_registry.requests import MAX_BYTES
from unikat_registry.settings import Drawn, Settings, Signed
from unikat_registry.studio import Drawing

log = logging.getLogger(__name__)

MOST_CALLS: Final = 32  # at a time: each may hold a request of 16 MB
MIN_PING_INTERVAL_MS: Final = 5_000  # our clients ping every 10 s
RECONNECT_S: Final = 20.0  # that a claim waits for a service that does not answer


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    settings.begin_log()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(settings))
    except (OSError, ValueError, RolledBack) as error:
        print(f"registry: {error}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        print(f"registry: --database: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    async with _provenance(settings) as provenance, _recorded(settings, provenance.engine) as records:
        server = await _new_server(settings, provenance, records)
        port = settings.open_port(server)
        await server.start()
        host = settings.listen.rpartition(":")[0]
        print(f"registry ready: listening on {host}:{port} pid={os.getpid()}", flush=True)
        await asked_to_stop.wait()
        log.info("Asked to stop; calls have %g s to end", settings.grace_s)
        await server.stop(settings.grace_s)


@asynccontextmanager
async def _recorded(settings: Settings, engine: Engine) -> AsyncIterator[Records]:
    """Records of calls, with numbers for Prometheus and spans where these are asked for. Raises OSError."""
    records = Records(ANONYMOUS)  # its classes of callers are none
    with records.traced("registry"):
        if not settings.metrics:
            yield records
            return
        from unikat_registry.metrics import observed  # with prometheus-client

        with observed(settings.metrics, engine, records):
            yield records


@asynccontextmanager
async def _provenance(settings: Settings) -> AsyncIterator[Provenance]:
    """Raises OSError, ValueError, SQLAlchemyError and RolledBack for what cannot be used."""
    keys = signing_keys(settings)
    engine = await asyncio.to_thread(open_database, settings.database)
    try:
        async with studio_of(settings) as studio:
            yield _put_together(settings, engine, keys, studio)
    finally:
        engine.dispose()


def _put_together(settings: Settings, engine: Engine, keys: list[SigningKey], studio: AsyncStudio) -> Provenance:
    entries = Log(engine, settings.origin, keys[0], keys[1:])
    entries.check_published(settings.log)  # before anything is signed
    entries.publish(settings.log)
    gallery = Gallery()
    return Provenance(
        engine,
        Drawing(studio),
        Claims(engine, entries, gallery),
        Certificates(engine, entries, keys[0], settings.log, settings.link),
        Examiner(engine, gallery, read_mark_keys(settings.mark_keys), settings.trust),
    )


def signing_keys(settings: Signed) -> list[SigningKey]:
    """The keys of the log. Raises ValueError and OSError."""
    try:
        return read_signing_keys(settings.key, settings.origin)
    except FileNotFoundError as error:
        raise ValueError(f"--key: there is no {settings.key}; `unikat keys log` makes one") from error
    except TransparencyError as error:
        raise ValueError(f"--origin: {error}") from error


def studio_of(settings: Drawn) -> AsyncStudio:
    """The service that draws."""
    identity = (settings.cert, settings.cert_key) if settings.cert and settings.cert_key else None
    return AsyncStudio(
        settings.target, tls=settings.tls, ca=settings.ca, identity=identity, reconnect_timeout=RECONNECT_S
    )


async def _new_server(settings: Settings, provenance: Provenance, records: Records) -> grpc.aio.Server:
    server = grpc.aio.server(
        interceptors=[records],
        maximum_concurrent_rpcs=MOST_CALLS,
        options=[
            ("grpc.max_receive_message_length", MAX_BYTES),
            ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
            # Otherwise two registries on one port would silently share its calls.
            ("grpc.so_reuseport", 0),
        ],
    )
    server.add_generic_rpc_handlers((provenance.handlers(),))
    status = health.aio.HealthServicer()  # type: ignore[attr-defined]  # grpc-stubs know only the threaded
    for name in ("", NAME):
        await status.set(name, HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    if settings.is_local or settings.reflection:
        reflection.enable_server_reflection([NAME, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    return server
