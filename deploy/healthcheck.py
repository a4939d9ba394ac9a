"""The containers' health checks: `python healthcheck.py service`, `python healthcheck.py worker`.

The service is healthy when it says so by `grpc.health.v1`; a worker when Redis knows it, by this container's host
name, among those whose last beat is recent. Exits with 0, or with 1 and the reason.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from unikat.jobs import WORKERS_KEY

TIMEOUT: Final = 4.0  # seconds; the engine gives a check five


def service(target: str = "localhost:50051") -> str | None:
    """What is wrong with the service on `target`; None if it serves."""
    import grpc
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import HealthStub

    with grpc.insecure_channel(target) as channel:
        try:
            response = HealthStub(channel).Check(HealthCheckRequest(), timeout=TIMEOUT, wait_for_ready=True)
        except grpc.RpcError as error:
            return f"{target}: {error.code().name}: {error.details()}"
    status = HealthCheckResponse.ServingStatus.Name(response.status)
    return None if status == "SERVING" else f"{target}: {status}"


def worker(host: str = socket.gethostname()) -> str | None:
    """What is wrong with the worker on this host; None if its last beat is recent."""
    from redis import Redis, RedisError

    url = os.environ["UNIKAT_REDIS_URL"]
    with Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, decode_responses=True) as redis:
        try:
            alive = redis.zrangebyscore(WORKERS_KEY, time.time(), "+inf")
            with redis.pipeline(transaction=False) as pipe:
                for name in alive:
                    pipe.hget(f"rq:worker:{name}", "hostname")  # RQ's own record
                hosts = pipe.execute()
        except RedisError as error:
            return f"Redis does not answer: {error}"
    return None if host in hosts else f"no live worker on {host}; {len(alive)} elsewhere"


CHECKS: Final[dict[str, Callable[[], str | None]]] = {"service": service, "worker": worker}

if __name__ == "__main__":
    problem = CHECKS[sys.argv[1]]()
    print(problem or "healthy")
    sys.exit(problem is not None)
