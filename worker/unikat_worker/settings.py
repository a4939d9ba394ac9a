"""The worker's settings: each declared once, with its flag, its environment variable, its unit and its reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


class DeviceName(StrEnum):
    """Where to draw."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Preload(StrEnum):
    """Models that are loaded before they are asked for."""

    NONE = "none"
    NEWEST = "newest"
    ALL = "all"


class LogLevel(StrEnum):
    """Level of the log on standard error."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _option(env: str, text: str, min: float | None = None, max: float | None = None) -> Any:  # noqa: ANN401
    return typer.Option(envvar=f"UNIKAT_{env}", help=text, min=min, max=max)  # typer's own type is Any, too


@dataclass(frozen=True)
class Settings:
    """Settings of one worker process."""

    redis_url: Annotated[str, _option("REDIS_URL", "Redis or Valkey: redis://, rediss:// or unix://.")] = (
        "redis://127.0.0.1:6379/0"
    )
    models: Annotated[Path, _option("MODELS", "Folder of model bundles, <name>/<version>/; watched for new ones.")] = (
        Path("models")
    )
    device: Annotated[DeviceName, _option("DEVICE", "Where to draw; auto takes CUDA where ONNX Runtime has it.")] = (
        DeviceName.AUTO
    )
    threads: Annotated[
        int, _option("THREADS", "Cores to use; 0: as many as the affinity mask and the CPU quota allow.", min=0)
    ] = 0
    inference_threads: Annotated[
        int,
        _option(
            "INFERENCE_THREADS",
            "Batches drawn and encoded at a time; 0: one a core on the CPU, up to 4 on a GPU.",
            min=0,
        ),
    ] = 0
    max_batch: Annotated[int, _option("MAX_BATCH", "Images in a batch, at most.", min=1, max=1024)] = 32
    batch_mb: Annotated[
        int,
        _option(
            "BATCH_MB",
            "Memory that a batch may take while it is drawn (MB), by what one image takes; one image always may.",
            min=1,
        ),
    ] = 256
    batch_ms: Annotated[
        float,
        _option(
            "BATCH_MS",
            "A batch is cut so that it takes about so long (ms): what a small request waits for while a large one "
            "is drawn.",
            min=1,
        ),
    ] = 50.0
    max_delay_ms: Annotated[
        float,
        _option(
            "MAX_DELAY_MS",
            "How long a small batch may wait for more (ms); only where larger batches are faster and several "
            "requests have been coming at a time.",
            min=0,
        ),
    ] = 2.0
    max_jobs: Annotated[
        int, _option("MAX_JOBS", "Jobs drawn at a time, in turn; the others wait in the queue.", min=1)
    ] = 256
    preload: Annotated[
        Preload,
        _option(
            "PRELOAD",
            "Models loaded at the start and when they come: none (each on its first request: a fraction of a second on "
            "a CPU, more on a GPU), the newest version of each, or all.",
        ),
    ] = Preload.NONE
    memory_limit_mb: Annotated[
        int, _option("MEMORY_LIMIT_MB", "Model weights kept loaded (MB); beyond, the least recently used go.", min=1)
    ] = 2048
    result_ttl_s: Annotated[
        int, _option("RESULT_TTL_S", "Results are kept so long after the last image (s).", min=1)
    ] = 600
    lease_s: Annotated[
        float,
        _option("LEASE_S", "A worker silent for so long (s) is given up and others take its jobs.", min=1, max=60),
    ] = 5.0
    max_crashes: Annotated[
        int,
        _option("MAX_CRASHES", "A job that ends so many workers in a row without one more image is failed.", min=1),
    ] = 12
    stall_s: Annotated[
        float, _option("STALL_S", "A batch that takes so long (s) hangs: the worker ends, others take over.", min=1)
    ] = 300.0
    destinations: Annotated[
        str,
        _option(
            "DESTINATIONS",
            "Where batches may be written: URLs or paths with commas between, and all below them; empty: nowhere. "
            "Looked at again here, behind symbolic links.",
        ),
    ] = ""
    writers: Annotated[
        int,
        _option("WRITERS", "Shards written at a time: more helps only where the destination is slow.", min=1, max=64),
    ] = 3
    name: Annotated[str, _option("WORKER_NAME", "Name in Redis; empty: host, process and a random part.")] = ""
    log_level: Annotated[LogLevel, _option("LOG_LEVEL", "Level of the log on standard error.")] = LogLevel.INFO


def command(run: Callable[[Settings], None]) -> Callable[..., None]:
    """A Typer command whose options are the fields of `Settings`, calling `run`."""
    hints = get_type_hints(Settings, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(Settings)
    ]

    def entry(**values: Any) -> None:  # noqa: ANN401  (Typer checked them against the fields)
        run(Settings(**values))

    entry.__doc__ = run.__doc__
    # Typer reads both: the signature for the defaults, the annotations for the types.
    entry.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # a documented hook (PEP 362)
    entry.__annotations__ = {field.name: hints[field.name] for field in fields(Settings)}
    return entry
