"""`unikat up`: everything that serves, in one supervised process tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Final, Literal

import typer

from unikat.cli import options
from unikat.cli.batch.words import place
from unikat.cli.output import stderr, stdout
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.up import gallery as galleries
from unikat.cli.up import registry as registries
from unikat.cli.up import stack
from unikat.cli.up.supervisor import Signals, Supervisor

DESTINATIONS: Final = "UNIKAT_DESTINATIONS"
DEFAULT_OPEN: Final = "out"
READY_WITHIN: Final = 120.0  # seconds; a worker on a GPU warms every batch size of every model first


def up(
    context: typer.Context,
    workers: Annotated[int, typer.Option(envvar="UNIKAT_WORKERS", min=1, help="Worker processes.")] = 1,
    models: options.Models = options.DEFAULT_MODELS,
    listen: Annotated[
        str, typer.Option(envvar="UNIKAT_LISTEN", help="Address of the service: host:port; port 0 takes a free one.")
    ] = "127.0.0.1:50051",
    data: options.Data = options.DEFAULT_DATA,
    redis_url: options.RedisUrl = None,
    appendfsync: Annotated[
        Literal["always", "everysec"],
        typer.Option(
            envvar="UNIKAT_APPENDFSYNC",
            help="When the embedded Valkey syncs to the disk. everysec: a machine that loses its power may forget what "
            "it acknowledged in its last second or two. always: it forgets nothing, and every call waits for the disk.",
        ),
    ] = "everysec",
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option(envvar="UNIKAT_DEVICE", help="Where workers draw. Left out: CUDA where it works, else the CPU."),
    ] = None,
    opened: Annotated[
        list[str] | None,
        typer.Option(
            "--open",
            envvar=DESTINATIONS,
            help="Folder or URL prefix (s3://bucket/dir) below which batches may be written. Repeat it; in the "
            "environment, put commas between them. Left out: out, which is made.",
        ),
    ] = None,
    allow_volatile: Annotated[
        bool,
        typer.Option(
            "--allow-volatile",
            envvar="UNIKAT_ALLOW_VOLATILE",
            help="Use a Redis of your own that keeps nothing on disk, or evicts keys. Jobs may be lost.",
        ),
    ] = False,
    registry: Annotated[
        str | None,
        typer.Option(
            envvar="UNIKAT_REGISTRY_LISTEN",
            help="Address of the registry of claimed works: host:port, or none. Left out: this machine, at the port "
            "after the service's, where the extra `registry` is installed.",
        ),
    ] = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            envvar="UNIKAT_GALLERY_LISTEN",
            help="Address of the gallery, a site: host:port, or none. Left out: 127.0.0.1:8080, or another free port "
            "of this machine, where the extra `gallery` is installed.",
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            envvar="UNIKAT_METRICS",
            help="Address on which the service serves numbers for Prometheus: host:port, such as 127.0.0.1:9464. The "
            "ports behind it are those of the workers, the gallery and the registry; port 0: free ones, which the logs "
            "name. Left out: none are kept.",
        ),
    ] = "",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show all logs here as well.")] = False,
) -> None:
    """Run an embedded Valkey, a service, workers, a registry and the gallery until Ctrl-C. What dies is started again.

    Logs are in <data>/logs/. Service and workers take their other settings from the environment: docs/settings.md.
    """
    if not models.is_dir():
        raise Problem(f"--models {models}: there is no such folder", "It holds <name>/<version>/.", code=BAD_INPUT)
    stack.check_listen(listen)
    if metrics:
        stack.check_metrics(metrics, workers)
    stack.check_installed(embedded=redis_url is None)
    if redis_url is not None:
        stack.wait_for_redis(redis_url, allow_volatile, _say, READY_WITHIN)
    destinations = _destinations(context, opened)
    with stack.locked(data):
        address = stack.free_address(listen)
        settings = stack.Settings(
            address,
            workers,
            models,
            data,
            redis_url,
            device,
            destinations,
            allow_volatile,
            appendfsync,
            registries.address(registry, address),
            galleries.address(gallery, _say),
            metrics,
        )
        _run(settings, _echo if verbose else None)


def _destinations(context: typer.Context, opened: list[str] | None) -> tuple[str, ...]:
    """The prefixes as URLs. Raises Problem."""
    if opened is None:
        return stack.open_destinations([DEFAULT_OPEN], create=True)
    source = context.get_parameter_source("opened")
    if source is not None and source.name == "ENVIRONMENT":  # cut at blanks by then, which a path may have
        opened = os.environ[DESTINATIONS].split(",")
    return stack.open_destinations(opened, create=False)


def _run(settings: stack.Settings, echo: Callable[[str, str], None] | None) -> None:
    settings.logs.mkdir(parents=True, exist_ok=True)
    with Signals() as signals:
        supervisor = Supervisor(signals, _say, echo)
        try:
            if _start(supervisor, settings):
                stdout().print(_ready_line(settings), markup=False)
                _start_gallery(supervisor, settings)
                _start_registry(supervisor, settings)
                supervisor.watch()
        finally:
            clients = [stack.GALLERY, stack.REGISTRY]
            supervisor.stop([clients, [stack.SERVICE], settings.worker_names, [stack.VALKEY]])


def _start(supervisor: Supervisor, settings: stack.Settings) -> bool:
    if settings.redis_url is None:
        server = stack.valkey(settings.data, settings.logs / "valkey.log", settings.appendfsync)
        if not supervisor.start([server], READY_WITHIN):
            return False
    return supervisor.start(stack.programs(settings), READY_WITHIN)


def _start_gallery(supervisor: Supervisor, settings: stack.Settings) -> None:
    if settings.gallery and supervisor.start([galleries.program(settings)], READY_WITHIN):
        stdout().print(f"The gallery is on http://{settings.gallery}/", markup=False)


def _start_registry(supervisor: Supervisor, settings: stack.Settings) -> None:
    """Behind the others: nobody who draws waits for it."""
    if settings.registry and supervisor.start([registries.program(settings)], READY_WITHIN):
        stdout().print(f"Works are claimed on {settings.registry}.", markup=False)


def _ready_line(settings: stack.Settings) -> str:
    models, providers = stack.served(settings.url)
    offered = ", ".join(models) or f"no model yet; put one into {settings.models}/"
    workers = f"{settings.workers} worker{'s' if settings.workers > 1 else ''}"
    drawing = ", ".join([workers, *providers])
    places = ", ".join(place(url) for url in settings.destinations) or "nowhere"
    return (
        f"Unikat is ready on {settings.listen}: {offered} ({drawing}). Batches may be written to {places}. "
        "Ctrl-C stops everything."
    )


def _say(line: str) -> None:
    stderr().print(line, markup=False)


def _echo(name: str, text: str) -> None:
    for line in text.splitlines():
        _say(f"{name:>9} | {line}")
