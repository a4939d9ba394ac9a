"""What the compose test holds a stack to, and where in the stack it looks."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from rich.console import Console

from deploy.engine import Stack

PAUSE_LIMIT: Final = 15.0  # seconds without an image that the loss of a worker may cost
HEALTH_DEADLINE: Final = 180.0  # seconds; images are there by then

console = Console(soft_wrap=True)


class BrokenPromise(RuntimeError):
    """A promise was broken; the message says which."""


def require(holds: bool, promise: str) -> None:
    """Raise BrokenPromise with the promise that does not hold."""
    if not holds:
        raise BrokenPromise(promise)


def ask_valkey(stack: Stack, *command: str) -> list[str]:
    """Valkey's answer to a command of its user `admin`, as lines."""
    password = urlsplit(stack.variables["UNIKAT_ADMIN_REDIS_URL"]).password
    words = ("exec", "-e", f"REDISCLI_AUTH={password}", stack.containers("valkey")[0])
    return stack.engine(*words, "valkey-cli", "--user", "admin", "--raw", *command).split()


def container_of_job(stack: Stack, job_id: str) -> str:
    """The container of the worker that has a job, by RQ's own records."""
    [worker] = ask_valkey(stack, "hget", f"rq:job:{job_id}", "worker_name") or [""]
    [host] = ask_valkey(stack, "hget", f"rq:worker:{worker}", "hostname") or [""]
    return container_of_host(stack, host)


def container_of_host(stack: Stack, host: str) -> str:
    """The worker's container that has a host name."""
    found = [container for container in stack.containers("worker") if host and container.startswith(host)]
    require(len(found) == 1, f"host {host!r} is one container, not {found or 'none'}")
    return found[0]
