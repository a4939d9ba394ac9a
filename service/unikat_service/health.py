"""Health by the standard protocol (grpc.health.v1), and the refresh of the catalogue that it tells about.

The names: "", "unikat.v1.Studio" and "unikat.v1.Batches" (Redis answers and a worker is alive), and for every model
"emoji" and "emoji@1" (a live worker serves it).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse, HealthListRequest, HealthListResponse

from unikat_service.batches import NAME as BATCHES
from unikat_service.catalogue import REFRESH_S
from unikat_service.context import ServiceContext
from unikat_service.studio import NAME as STUDIO

log = logging.getLogger(__name__)

NAMES_KEPT: Final = 1000  # of models, those that are gone included

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Servicer(health.aio.HealthServicer):  # type: ignore[name-defined,misc]  # grpc-stubs know only the threaded
    """As gRPC has it, but for a method that it leaves to fail, with a traceback in the log for every call."""

    async def List(self, request: HealthListRequest, context: grpc.aio.ServicerContext[Any, Any]) -> HealthListResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Check and Watch tell of a service by its name")
        raise AssertionError("abort always raises")


class Health:
    """Keeps the catalogue fresh and says what follows from it."""

    def __init__(self, service: ServiceContext) -> None:
        self._service = service
        # Names that were served lately, longest ago first: one that is gone is NOT_SERVING, not unknown.
        self._models: dict[str, None] = {}
        self._failing = False
        self.servicer = Servicer()

    async def run(self) -> None:
        """Once a second, until cancelled; the first round is done by `update`."""
        while True:
            await asyncio.sleep(REFRESH_S)
            await asyncio.shield(self.update())

    async def update(self) -> None:
        """Ask Redis and tell watchers what changed."""
        try:
            await self._service.refresh()
        except Exception as error:  # whatever it is: the service lives on, and says that it cannot serve
            if not self._failing:
                log.warning("Cannot learn which workers are alive: %s", error)
        self._failing = not self._service.catalogue.healthy
        live = set() if self._failing else self._service.catalogue.snapshot.live.keys()
        names = live | {key.partition("@")[0] for key in live}
        for name in names:
            self._models.pop(name, None)
            self._models[name] = None
        for name in ("", STUDIO, BATCHES):
            await self.servicer.set(name, SERVING if live else NOT_SERVING)
        for name in self._models:
            await self.servicer.set(name, SERVING if name in names else NOT_SERVING)
        for name in list(self._models)[: -max(NAMES_KEPT, len(names))]:
            del self._models[name]
            # The servicer has no method for it.
            self.servicer._server_status.pop(name, None)

    async def shut_down(self) -> None:
        """NOT_SERVING for good: load balancers send nothing more here."""
        await self.servicer.enter_graceful_shutdown()
