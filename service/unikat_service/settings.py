"""Settings of the service: each is declared once, with its flag, environment variable, unit, default and reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, get_type_hints

import typer
from typer import Option

from unikat.batches.destination import open_prefixes
from unikat.batches.spec import MAX_SHARD_SIZE

MAX_SHARDS: Final = 10_000  # of one batch: its jobs are created in one transaction, which Redis does in 0.1 s


@dataclass(frozen=True)
class Settings:
    """What `unikat serve` can be told."""

    listen: Annotated[
        str, Option(envvar="UNIKAT_LISTEN", help="Address to listen on (host:port; port 0 takes a free one).")
    ] = "127.0.0.1:50051"
    redis_url: Annotated[
        str, Option(envvar="UNIKAT_REDIS_URL", help="Redis or Valkey (redis://, rediss:// or unix://).")
    ] = "redis://127.0.0.1:6379"
    max_count: Annotated[
        int, Option(envvar="UNIKAT_MAX_COUNT", min=1, help="Images that one call may ask for (more is a batch).")
    ] = 4096
    max_batch_images: Annotated[
        int,
        Option(
            envvar="UNIKAT_MAX_BATCH_IMAGES",
            min=1,
            max=MAX_SHARDS * MAX_SHARD_SIZE,
            help="Images that one batch may have, at most.",
        ),
    ] = 1_000_000
    shard_size: Annotated[
        int,
        Option(
            envvar="UNIKAT_SHARD_SIZE",
            min=1,
            max=MAX_SHARD_SIZE,
            help="Images in a shard of a batch that does not say (a crash costs a worker at most this much work).",
        ),
    ] = 256
    destinations: Annotated[
        str,
        Option(
            envvar="UNIKAT_DESTINATIONS",
            help="Where batches may be written: comma-separated prefixes (file:///srv/art,s3://assets; none: nowhere).",
        ),
    ] = ""
    max_queue: Annotated[
        int,
        Option(
            envvar="UNIKAT_MAX_QUEUE",
            min=1,
            help="Jobs that may wait for a model (beyond it, calls are told to come back).",
        ),
    ] = 1000
    result_ttl_s: Annotated[
        int,
        Option(envvar="UNIKAT_RESULT_TTL_S", min=1, help="How long results outlive their job (s; callers can resume)."),
    ] = 600
    failure_ttl_s: Annotated[
        int, Option(envvar="UNIKAT_FAILURE_TTL_S", min=1, help="How long failed jobs are kept for inspection (s).")
    ] = 86_400
    retries: Annotated[
        int,
        Option(envvar="UNIKAT_RETRIES", min=1, help="Times a failed job is tried again before it counts as failed."),
    ] = 3
    worker_grace_s: Annotated[
        float,
        Option(
            envvar="UNIKAT_WORKER_GRACE_S", min=0, help="Calls are still queued this long after the last worker (s)."
        ),
    ] = 30.0
    grace_s: Annotated[
        float,
        Option(envvar="UNIKAT_GRACE_S", min=0, help="After SIGTERM, time for running calls to end by themselves (s)."),
    ] = 10.0
    max_memory_percent: Annotated[
        int,
        Option(
            envvar="UNIKAT_MAX_MEMORY_PERCENT",
            min=1,
            max=100,
            help="New calls are refused while Redis uses more of its maxmemory (%; the rest is for calls under way).",
        ),
    ] = 80
    tls_cert: Annotated[
        Path | None, Option(envvar="UNIKAT_TLS_CERT", exists=True, help="Certificate chain (PEM); turns TLS on.")
    ] = None
    tls_key: Annotated[
        Path | None, Option(envvar="UNIKAT_TLS_KEY", exists=True, help="Private key of the certificate (PEM).")
    ] = None
    tls_ca: Annotated[
        Path | None,
        Option(envvar="UNIKAT_TLS_CA", exists=True, help="Clients must show a certificate that this one signed (PEM)."),
    ] = None
    debug: Annotated[bool, Option(envvar="UNIKAT_DEBUG", help="Log more, and serve channelz.")] = False

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for settings that contradict one another."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise typer.BadParameter("--tls-cert and --tls-key go together: give both or none")
        if self.tls_ca is not None and self.tls_cert is None:
            raise typer.BadParameter("--tls-ca needs --tls-cert and --tls-key")
        try:
            open_prefixes(self.destinations)
        except ValueError as error:
            raise typer.BadParameter(f"--destinations: {error}") from error

    @property
    def prefixes(self) -> tuple[str, ...]:
        """`destinations` as canonical URLs."""
        return open_prefixes(self.destinations)


def program(run: Callable[[Settings], int]) -> typer.Typer:
    """Reads the settings from flags and environment, runs, and exits with what `run` returns."""

    def main(**options: object) -> None:
        raise typer.Exit(run(Settings(**options)))  # type: ignore[arg-type]  # typer checked them

    # Typer reads a command's parameters from its signature; here they are the fields above.
    hints = get_type_hints(Settings, include_extras=True)
    signature = inspect.signature(Settings)
    parameters = [parameter.replace(annotation=hints[name]) for name, parameter in signature.parameters.items()]
    main.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # PEP 362 allows it
    main.__annotations__ = hints
    main.__doc__ = "Serve the studio over gRPC: check requests, enqueue jobs, stream images back."
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(main)
    return app
