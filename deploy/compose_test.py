"""`python -m deploy.compose_test`: the compose stack for real, with a worker killed while it draws.

Builds the images, brings the stack up without GPUs, by TLS, with tokens and users of Valkey, looks into the running
containers, has those turned away who show no token, draws from outside, kills the container of the worker that draws,
and checks that every image arrives once, decodes, and is what another worker draws. Then the same with a batch, whose
files on the volume are compared with their manifest. Exits with 0, or with 1 and what went wrong.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from rich.progress import track

from deploy.compose_batch import check_batch
from deploy.engine import SERVICES, Engine, EngineError, Stack
from deploy.promises import HEALTH_DEADLINE, PAUSE_LIMIT, BrokenPromise, console, container_of_job, require
from unikat.bundle import list_bundles
from unikat.client import Studio
from unikat.errors import Unauthenticated, Unavailable
from unikat.resuming import Generation

ROOT: Final = Path(__file__).resolve().parents[1]
FILES: Final = ("compose.yaml", "compose.cpu.yaml", "compose.tls.yaml")
SECRET: Final = {"AWS_SECRET_ACCESS_KEY": "handed-on-to-workers-only"}  # no account has it
NEW_TOKEN: Final = ("create", "compose-test", "--scope", "generate", "--scope", "batch", "--days", "1")
LEFT_OUT: Final = {  # what an image must not hold
    "service": ("torch", "onnxruntime", "unikat_worker", "unikat_training", "pip", "fsspec", "pyarrow", "s3fs"),
    "worker": ("torch", "grpc_health", "unikat_service", "unikat_training", "pip"),
}


@dataclass
class Drawn:
    """Images as they arrived: by index, and the longest time between two of them in seconds."""

    data: dict[int, bytes] = field(default_factory=dict)
    longest_pause: float = 0.0
    seconds: float = 0.0


def look_inside(stack: Stack) -> None:
    """Not root, nothing writable but the temporary folder, no compiler, no module and no credential out of place."""
    script = (
        'test "$(id -u)" -ne 0 || { echo root; exit 1; }; '
        "! touch /written 2>/dev/null || { echo writable; exit 1; }; "
        'for tool in cc gcc g++ make; do ! command -v "$tool" || exit 1; done'
    )
    for service in SERVICES:
        for container in stack.containers(service):
            stack.engine("exec", container, "sh", "-c", script)
    for service, modules in LEFT_OUT.items():
        missing = f"import importlib.util as u, sys; sys.exit(any(u.find_spec(m) for m in {modules}))"
        stack.engine("exec", stack.containers(service)[0], "python", "-c", missing)
    for service in SERVICES:
        for container in stack.containers(service):
            variables = stack.engine("exec", container, "env").splitlines()
            found = {line.partition("=")[0] for line in variables if line.startswith("AWS_")}
            require(found >= set(SECRET) if service == "worker" else not found, f"credentials of {service}: {found}")


def draw(stack: Stack, generation: Generation, count: int) -> Drawn:
    """Take every image of a call, and kill its worker when an eighth has arrived: it is ahead of what arrives."""
    drawn, victim = Drawn(), ""
    began = waiting_since = time.monotonic()
    for artwork in track(generation, "drawing", total=count, console=console):
        drawn.longest_pause = max(drawn.longest_pause, time.monotonic() - waiting_since)
        require(artwork.index not in drawn.data, f"image {artwork.index} arrives once")
        require(artwork.image().size == (artwork.width, artwork.height), f"image {artwork.index} has its size")
        drawn.data[artwork.index] = artwork.data
        if artwork.index == 0:
            victim = container_of_job(stack, generation.accepted.job_id)
        waiting_since = time.monotonic()
        if len(drawn.data) == count // 8:
            stack.engine("kill", victim)
            console.print(f"killed worker {victim[:12]} after {len(drawn.data)} images")
    drawn.seconds = time.monotonic() - began
    require(sorted(drawn.data) == list(range(count)), f"all of {count} images arrive")
    return drawn


def check_lock(target: str, ca: Path) -> None:
    """Nobody is served without a token, or without TLS. Raises BrokenPromise."""
    for tls, error in ((ca, Unauthenticated), (None, Unavailable)):
        with Studio(target, ca=tls, token="", reconnect_timeout=0.0) as studio:
            try:
                studio.models()
            except error:
                continue
            raise BrokenPromise("who shows no token is served")
    console.print("without a token, and without TLS, nobody is served")


def check(stack: Stack, studio: Studio, model: str, count: int) -> None:
    """Draw with a kill in the middle, then draw some again. Raises BrokenPromise, EngineError or UnikatError."""
    console.print(f"serving {', '.join(f'{m.name}@{m.version}' for m in studio.models())} on {studio.target}")
    generation = studio.generate(model, count=count, seed=7)
    drawn = draw(stack, generation, count)
    finished = generation.finished
    attempts = finished.attempts if finished else 0
    require(attempts > 1, f"the kill hit a running job (attempts: {attempts}); ask for a larger --count")
    again = {a.index: a.data for a in studio.generate(model, count=min(50, count), seed=7)}
    require(all(drawn.data[i] == data for i, data in again.items()), "another worker draws the same bytes")
    console.print(
        f"{count} images, each once, all decoded, in {drawn.seconds:.1f} s; longest pause {drawn.longest_pause:.1f} s; "
        f"{attempts} attempts; {len(again)} drawn again with the same bytes"
    )
    require(drawn.longest_pause <= PAUSE_LIMIT, f"the pause is at most {PAUSE_LIMIT:.0f} s")


def wait_until_healthy(stack: Stack, workers: int) -> None:
    """Wait for all containers. Raises EngineError."""
    stack.wait_until_healthy({"valkey": 1, "service": 1, "worker": workers}, HEALTH_DEADLINE)


@contextmanager
def running(stack: Stack, workers: int) -> Iterator[None]:
    """The stack, healthy, until the end of the block; whatever happens, nothing of it is left."""
    try:
        began = time.monotonic()
        stack.up()
        console.print(f"built and started in {time.monotonic() - began:.0f} s ({' '.join(stack.engine.compose)})")
        began = time.monotonic()
        wait_until_healthy(stack, workers)
        console.print(f"healthy {time.monotonic() - began:.1f} s later")
        yield
    except Exception:
        console.print(stack.logs(), markup=False)
        raise
    finally:
        stack.down()


def check_all(stack: Stack, model: str, count: int, batch_count: int, workers: int) -> None:
    """What the stack promises to those who reach its port. Raises BrokenPromise, EngineError or UnikatError."""
    target, ca = f"localhost:{stack.variables['UNIKAT_PORT']}", Path(stack.variables["UNIKAT_TLS_DIR"]) / "ca.crt"
    check_lock(target, ca)
    token = stack.run("tokens", *NEW_TOKEN)
    with Studio(target, ca=ca, token=token) as studio:
        check(stack, studio, model, count)
        stack.start_again("worker")
        wait_until_healthy(stack, workers)
        check_batch(stack, studio, model, batch_count)


def keys_in(folder: Path) -> dict[str, str]:
    """What compose.env says of the keys that the documented commands make."""
    for command in ("init", "redis"):
        words = (sys.executable, "-m", "unikat.cli", "keys", command, "--keys", str(folder))
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    if os.getuid() == 0:
        for path in (folder / "service", *(folder / "service").iterdir()):
            os.chown(path, 10001, 10001)
    lines = (folder / "compose.env").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def main(
    compose: Annotated[
        str | None, typer.Option(envvar="COMPOSE", help="The compose command, where it is not found by itself.")
    ] = None,
    models: Annotated[Path, typer.Option(envvar="UNIKAT_MODELS_DIR", help="Bundles to serve.")] = ROOT / "models",
    count: Annotated[int, typer.Option(min=100, max=4096, help="Images to draw while a worker dies.")] = 2000,
    batch_count: Annotated[int, typer.Option(min=1000, help="Images of a batch in which a worker dies.")] = 4000,
    workers: Annotated[int, typer.Option(min=2, help="Workers, one of which is killed.")] = 2,
) -> None:
    """Bring the compose stack up, draw, kill a worker, draw on, tear down."""
    try:
        engine = Engine.find(compose)
        bundles = list_bundles(models)
        require(bool(bundles), f"{models} holds a bundle to serve")
        with TemporaryDirectory(prefix="unikat-") as folder:
            variables = keys_in(Path(folder)) | {
                "UNIKAT_ADDRESS": "0.0.0.0",
                "UNIKAT_PORT": str(free_port()),
                "UNIKAT_WORKERS": str(workers),
                "UNIKAT_MODELS_DIR": str(models.resolve()),
                "UNIKAT_OUT_DIR": "out",
                "UNIKAT_DESTINATIONS": "file:///out",
                **SECRET,
            }
            stack = Stack(engine, "unikat-compose-test", FILES, variables)
            with running(stack, workers):
                look_inside(stack)
                check_all(stack, bundles[0].parent.name, count, batch_count, workers)
    except (EngineError, BrokenPromise) as error:
        console.print(f"failed: {error}", style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
