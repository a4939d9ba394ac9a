"""The server process: put together, run, and ended so that no caller loses anything."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import grpc
import redis
import redis.retry
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from redis.backoff import NoBackoff

from unikat.queue.server import server_problem
from unikat_service.batches import NAME as BATCHES
from unikat_service.batches import Batches
from unikat_service.catalogue import Catalogue
from unikat_service.context import REDIS_TIMEOUT_S, ServiceContext
from unikat_service.errors import shutting_down
from unikat_service.health import Health
from unikat_service.limits import MAX_RECEIVED_BYTES
from unikat_service.settings import Settings
from unikat_service.studio import NAME as STUDIO
from unikat_service.studio import Studio

log = logging.getLogger(__name__)

# A client whose machine is gone sends no reset; without an answer to a ping its jobs are let go.
KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS = 30_000, 10_000
MIN_PING_INTERVAL_MS: Final = 10_000
# What a call still needs to end after its grace: to send what it holds to a caller that reads.
LAST_WORDS_S: Final = 1.0
# How long a thread that makes a large batch keeps the interpreter from calls that wait for it, at each of a call's
# dozen steps; Python's own 5 ms would make interactive calls wait ten times longer meanwhile.
SWITCH_INTERVAL_S: Final = 0.0005


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    logging.basicConfig(
        level=logging.DEBUG if settings.debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for library in ("grpc", "asyncio"):  # at DEBUG they say too much to be of use
        logging.getLogger(library).setLevel(logging.INFO)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        asyncio.run(_serve(settings))
    except OSError as error:
        print(f"service: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    if problem := await asyncio.to_thread(_server_problem, settings.redis_url):
        raise OSError(f"--redis-url: {problem}")
    async with _context(settings) as service, _batches(settings, service.catalogue) as batches:
        health_of = Health(service)
        await health_of.update()
        server = _new_server(service, batches, health_of)
        port = _bind(server, settings)
        await server.start()
        refreshing = asyncio.create_task(health_of.run())
        gc.freeze()  # what was made so far stays: the collector need not walk through it
        host = settings.listen.rpartition(":")[0]
        print(f"service ready: listening on {host}:{port} pid={os.getpid()}", flush=True)
        await asked_to_stop.wait()
        log.info("Asked to stop; calls have %g s to end", settings.grace_s)
        await health_of.shut_down()
        await _stop(server, service, batches)
        refreshing.cancel()


@asynccontextmanager
async def _context(settings: Settings) -> AsyncIterator[ServiceContext]:
    with _threaded_redis(settings.redis_url) as threaded:
        async with ServiceContext(settings, threaded).running() as service:
            yield service


@asynccontextmanager
async def _batches(settings: Settings, catalogue: Catalogue) -> AsyncIterator[Batches]:
    with _threaded_redis(settings.redis_url) as threaded:
        async with Batches(catalogue, threaded, settings).running() as batches:
            yield batches


def _threaded_redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=redis.retry.Retry(NoBackoff(), 1),
    )


def _server_problem(url: str) -> str | None:
    """Why Redis cannot be used; None where it does not answer yet."""
    with _threaded_redis(url) as client, suppress(redis.RedisError):
        return server_problem(client.info())
    return None


def _new_server(service: ServiceContext, batches: Batches, health_of: Health) -> grpc.aio.Server:
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            # Our clients ping as often; gRPC's default of 5 minutes ends a call that waits in a long queue for it.
            ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
            # It measures bandwidth with pings, each of which wakes the caller for nothing.
            ("grpc.http2.bdp_probe", 0),
            # Otherwise two services on one port would silently share its calls.
            ("grpc.so_reuseport", 0),
            ("grpc.enable_channelz", int(service.settings.debug)),
        ]
    )
    server.add_generic_rpc_handlers((Studio(service).handlers(), batches.handlers()))
    health_pb2_grpc.add_HealthServicer_to_server(health_of.servicer, server)
    names = [STUDIO, BATCHES, health.SERVICE_NAME, reflection.SERVICE_NAME]
    if service.settings.debug:
        channelz.add_channelz_servicer(server)  # type: ignore[arg-type]  # it takes both kinds of server
        names.append(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)
    reflection.enable_server_reflection(names, server)
    return server


def _bind(server: grpc.aio.Server, settings: Settings) -> int:
    """Open the port; its number. Raises OSError if it cannot be had."""
    try:
        if settings.tls_cert is None or settings.tls_key is None:
            return server.add_insecure_port(settings.listen)
        pair = settings.tls_key.read_bytes(), settings.tls_cert.read_bytes()
        roots = settings.tls_ca.read_bytes() if settings.tls_ca else None
        credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)
        return server.add_secure_port(settings.listen, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {settings.listen}: {error}") from error


async def _stop(server: grpc.aio.Server, service: ServiceContext, batches: Batches) -> None:
    """New calls are refused at once; running ones may end by themselves, then end with UNAVAILABLE.

    Watches of batches, whose end is hours away, are told at once.
    """
    grace = service.settings.grace_s
    stopping = asyncio.create_task(server.stop(grace + LAST_WORDS_S))
    batches.watcher.stop(shutting_down("watch it again with after_revision"))
    await asyncio.wait([stopping], timeout=grace)
    service.stop()
    await stopping
