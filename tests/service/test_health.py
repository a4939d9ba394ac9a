"""Health by the standard stub: whether Redis answers, and which models a live worker serves."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import cast

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.service.by_hand import described
from tests.service.conftest import Serving
from tests.support.processes import eventually
from tests.support.tiny_model import tiny_model

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
OVERALL = ("", "unikat.v1.Studio", "unikat.v1.Batches")


def health(serving: Serving, name: str) -> int | None:
    """The status; None for a name that the service does not know."""
    try:
        return cast(int, HealthStub(serving.channel).Check(HealthCheckRequest(service=name)).status)
    except grpc.RpcError as error:
        if cast(grpc.Call, error).code() == grpc.StatusCode.NOT_FOUND:
            return None
        raise


def test_health_follows_the_workers_and_the_models_they_serve(serving: Serving) -> None:
    for name in (*OVERALL, "tiny", "tiny@1"):
        assert health(serving, name) == SERVING
    serving.hand.announce(described(tiny_model("other", 2)), name="w2")
    eventually(lambda: health(serving, "other@2") == SERVING)
    serving.hand.bury("w1")
    eventually(lambda: health(serving, "tiny@1") == NOT_SERVING)
    assert health(serving, "tiny") == NOT_SERVING
    assert [health(serving, name) for name in (*OVERALL, "other")] == [SERVING] * 4
    serving.hand.bury("w2")
    eventually(lambda: [health(serving, name) for name in (*OVERALL, "other")] == [NOT_SERVING] * 4)
    serving.hand.announce()
    eventually(lambda: [health(serving, name) for name in (*OVERALL, "tiny@1")] == [SERVING] * 4)


def test_health_follows_redis(durable: Serving) -> None:
    durable.valkey.kill()
    eventually(lambda: health(durable, "") == NOT_SERVING)
    durable.valkey.start()
    eventually(lambda: health(durable, "") == SERVING)


def test_a_watcher_hears_of_every_change(serving: Serving) -> None:
    changes: queue.Queue[int] = queue.Queue()
    watch = HealthStub(serving.channel).Watch(HealthCheckRequest(service="tiny"))

    def listen() -> None:
        with suppress(grpc.RpcError):  # the cancellation below
            for response in watch:
                changes.put(response.status)

    listener = threading.Thread(target=listen)
    listener.start()
    assert changes.get(timeout=10) == SERVING
    serving.hand.bury()
    assert changes.get(timeout=10) == NOT_SERVING
    serving.hand.announce()
    assert changes.get(timeout=10) == SERVING
    watch.cancel()
    listener.join(10)


def test_an_unknown_name_is_not_found(shared: Serving) -> None:
    assert health(shared, "emoji") is None
