"""The server process: put together, run, and ended so that no caller loses anything."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event
from typing import Final

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from redis import Redis

from unikat.call_records import Records
from unikat.queue.clients import connect
from unikat.queue.server import Unfit, wait_until_fit
from unikat_service.batches import NAME as BATCHES
from unikat_service.batches import Batches
from unikat_service.callers import Callers
from unikat_service.context import CLIENT_NAME, ServiceContext
from unikat_service.errors import shutting_down
from unikat_service.gate import Gate
from unikat_service.health import Health
from unikat_service.limits import MAX_RECEIVED_BYTES
from unikat_service.memory import give_back_large_blocks
from unikat_service.open_inference.methods import NAME as OPEN_INFERENCE
from unikat_service.open_inference.methods import OpenInference
from unikat_service.operations import NAME as OPERATIONS
from unikat_service.operations import Operations
from unikat_service.room import OTHERS, Room
from unikat_service.settings import Settings
from unikat_service.studio import NAME as STUDIO
from unikat_service.studio import Studio

log = logging.getLogger(__name__)

# A client whose machine is gone sends no reset; without an answer to a ping its jobs are let go.
KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS = 30_000, 10_000
MIN_PING_INTERVAL_MS: Final = 5_000
# Redis is looked at for so long before the service is ready; after that, while it is.
FIT_WITHIN_S: Final = 1.0
# What a call still needs to end after its grace: to send what it holds to a caller that reads.
LAST_WORDS_S: Final = 1.0
# How long a thread that makes a large batch keeps the interpreter from calls that wait for it, at each of a call's
# dozen steps; Python's own 5 ms would make interactive calls wait ten times longer meanwhile.
SWITCH_INTERVAL_S: Final = 0.0005


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    settings.begin_log()
    if settings.debug:
        logging.getLogger().setLevel(logging.DEBUG)
    for library in ("grpc", "asyncio"):  # at DEBUG they say too much to be of use
        logging.getLogger(library).setLevel(logging.INFO)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    give_back_large_blocks()
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
    async with (
        _redis(settings, asked_to_stop) as client,
        ServiceContext(settings, client).running() as service,
        Batches(service.catalogue, client, settings).running() as batches,
        _recorded(service, client) as records,
    ):
        health_of = Health(service)
        await health_of.update()
        server = _new_server(service, batches, health_of, records)
        port = settings.open_port(server)
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
async def _recorded(service: ServiceContext, redis: Redis) -> AsyncIterator[Records]:
    """Records of calls, with numbers for Prometheus and spans where these are asked for. Raises OSError."""
    records = Records()
    with records.traced("service"):
        if not service.settings.metrics:
            yield records
            return
        from unikat_service.metrics import observed  # with prometheus-client

        with observed(service, redis, records):
            yield records


@asynccontextmanager
async def _redis(settings: Settings, asked_to_stop: asyncio.Event) -> AsyncIterator[Redis]:
    """A client for threads. Where the server turns out to be unfit, the service is asked to stop; raises OSError."""
    stop = Event()
    try:
        client = connect(settings.redis_url, CLIENT_NAME, retries=1)
    except ValueError as error:
        raise OSError(f"--redis-url: {error}") from error
    with client:
        fit = asyncio.create_task(asyncio.to_thread(wait_until_fit, client, log.warning, settings.allow_volatile, stop))
        await asyncio.wait([fit], timeout=FIT_WITHIN_S)
        if fit.done():
            _raise_unfit(fit)
        fit.add_done_callback(lambda _: asked_to_stop.set() if not fit.cancelled() and fit.exception() else None)
        try:
            yield client
        finally:
            stop.set()
            await asyncio.wait([fit])
        _raise_unfit(fit)


def _raise_unfit(fit: asyncio.Task[None]) -> None:
    try:
        fit.result()
    except Unfit as error:
        raise OSError(f"--redis-url: {error}") from error


def _new_server(service: ServiceContext, batches: Batches, health_of: Health, records: Records) -> grpc.aio.Server:
    most = service.settings.max_calls
    server = grpc.aio.server(
        interceptors=[records, Room(most), Gate(Callers(service.settings, service.tokens))],
        maximum_concurrent_rpcs=most + OTHERS,
        options=[
            ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.http2.max_pings_without_data", 0),  # while a call waits for images, nothing else is sent
            # Our clients ping every 10 s; gRPC's default of 5 minutes ends a call that waits in a long queue for it.
            ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
            # It measures bandwidth with pings, each of which wakes the caller for nothing.
            ("grpc.http2.bdp_probe", 0),
            # Otherwise two services on one port would silently share its calls.
            ("grpc.so_reuseport", 0),
            ("grpc.enable_channelz", int(service.settings.debug)),
        ],
    )
    studio = Studio(service)
    open_inference = OpenInference(service, studio)
    server.add_generic_rpc_handlers(
        (studio.handlers(), batches.handlers(), open_inference.handlers(), Operations(service).handlers())
    )
    health_pb2_grpc.add_HealthServicer_to_server(health_of.servicer, server)
    names = [STUDIO, BATCHES, OPERATIONS, OPEN_INFERENCE, health.SERVICE_NAME, reflection.SERVICE_NAME]
    if service.settings.debug:
        channelz.add_channelz_servicer(server)  # type: ignore[arg-type]  # it takes both kinds of server
        names.append(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)
    if service.settings.is_local or service.settings.reflection:
        reflection.enable_server_reflection(names, server)
    return server


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
