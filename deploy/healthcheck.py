"""The containers' health checks: `python healthcheck.py service`, or worker, registry, gallery.

Service and registry are healthy when they say so by `grpc.health.v1`; the gallery when it answers; a worker when Redis
knows it, by this container's host name, among those whose last beat is recent. Exits with 0, or with 1 and the reason.
What the programs are told by UNIKAT_LISTEN, UNIKAT_TLS_… and UNIKAT_REDIS_URL, the checks read too.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from grpc import Channel

TIMEOUT: Final = 4.0  # seconds; the engine gives a check five


def check_service() -> str | None:
    """What is wrong with the service of this container; None if it serves."""
    return _check(os.environ["UNIKAT_LISTEN"])


def check_registry() -> str | None:
    """The same of the registry."""
    return _check(os.environ["UNIKAT_REGISTRY_LISTEN"])


def _check(listen: str) -> str | None:
    import grpc
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import HealthStub

    port = int(listen.rpartition(":")[2])
    try:
        with _channel(port) as channel:
            response = HealthStub(channel).Check(HealthCheckRequest(), timeout=TIMEOUT)
    except grpc.RpcError as error:
        return f"port {port}: {error.code().name}: {error.details()}"
    except OSError as error:
        return f"port {port}: {error}"
    status = HealthCheckResponse.ServingStatus.Name(response.status)
    return None if status == "SERVING" else f"port {port}: {status}"


def _channel(port: int) -> Channel:
    import grpc

    target = f"localhost:{port}"
    certificate = os.environ.get("UNIKAT_TLS_CERT")
    direct = ("grpc.enable_http_proxy", 0)  # http_proxy in the environment is not for this container
    if not certificate:
        return grpc.insecure_channel(target, (direct,))
    chain, key = Path(certificate).read_bytes(), None
    if os.environ.get("UNIKAT_TLS_CA"):  # clients need a certificate: the service's own, where the same CA signed it
        key = Path(os.environ["UNIKAT_TLS_KEY"]).read_bytes()
    # The certificate is for the name that clients know: trust exactly it, under a name that it has.
    options = (("grpc.ssl_target_name_override", _name_of(certificate, port)), direct)
    credentials = grpc.ssl_channel_credentials(chain, key, chain if key else None)
    return grpc.secure_channel(target, credentials, options)


def _name_of(certificate: str, port: int) -> str:
    """A DNS name of the certificate that the service shows, which must be the one in the file. Raises OSError."""
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file need not hold the root
    context.set_alpn_protocols(["h2"])
    if os.environ.get("UNIKAT_TLS_CA"):
        context.load_cert_chain(certificate, os.environ["UNIKAT_TLS_KEY"])
    with socket.create_connection(("localhost", port), TIMEOUT) as plain, context.wrap_socket(plain) as shown:
        peer = shown.getpeercert() or {}
    names = [str(entry[1]) for entry in peer.get("subjectAltName", ()) if entry[0] == "DNS"]
    return names[0].replace("*", "any") if names else "localhost"


def check_worker() -> str | None:
    """What is wrong with the worker of this container; None if its last beat is recent."""
    from redis import RedisError

    from unikat.queue.clients import connect
    from unikat.queue.clock import redis_time
    from unikat.queue.workers import WORKERS_KEY

    url, host = os.environ["UNIKAT_REDIS_URL"], socket.gethostname()
    with connect(url, "unikat-healthcheck", socket_timeout=TIMEOUT, decode_responses=True) as redis:
        try:
            alive = redis.zrangebyscore(WORKERS_KEY, redis_time(redis), "+inf")
            with redis.pipeline(transaction=False) as pipe:
                for name in alive:
                    pipe.hget(f"rq:worker:{name}", "hostname")  # RQ's own record
                hosts = pipe.execute()
        except RedisError as error:
            return f"Redis does not answer: {error}"
    return None if host in hosts else f"no live worker on {host}; {len(alive)} elsewhere"


def check_gallery() -> str | None:
    """What is wrong with the gallery of this container; None if it answers. The service has a check of its own."""
    port = int(os.environ["UNIKAT_GALLERY_LISTEN"].rpartition(":")[2])
    connection = HTTPConnection("localhost", port, timeout=TIMEOUT)
    try:
        connection.request("HEAD", "/", headers={"Host": urlsplit(os.environ["UNIKAT_GALLERY_URL"]).netloc})
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"port {port}: {error}"
    finally:
        connection.close()
    return None if status == 200 else f"port {port}: HTTP status {status}"


CHECKS: Final[dict[str, Callable[[], str | None]]] = {
    "service": check_service, "worker": check_worker, "registry": check_registry,
    "gallery": check_gallery,
}  # fmt: skip

if __name__ == "__main__":
    problem = CHECKS[sys.argv[1]]()
    print(problem or "healthy")
    sys.exit(problem is not None)
