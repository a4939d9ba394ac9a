"""The worker's settings: each declared once, with its flag, its environment variable, its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import typer

from unikat.content_credentials.settings import NO_CREDENTIALS, CredentialsSettings
from unikat.observed import Observed
from unikat.settings import setting
from unikat_worker.content_limits import ContentLimits


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


@dataclass(frozen=True)
class Settings(Observed):
    """Settings of one worker process."""

    redis_url: str = setting(
        "redis://127.0.0.1:6379/0",
        "Redis or Valkey: redis://, rediss:// (TLS), unix://, or redis+sentinel://host:port,host:port/service.",
    )
    allow_volatile: bool = setting(
        False, "Use a Redis that forgets: one that keeps nothing on disk, or evicts keys. Jobs may be lost."
    )
    models: Path = setting(Path("models"), "Folder of model bundles, <name>/<version>/; watched for new ones.")
    device: DeviceName = setting(DeviceName.AUTO, "Where to draw; auto takes CUDA where ONNX Runtime has it.")
    threads: int = setting(0, "Cores to use; 0: as many as the affinity mask and the CPU quota allow.", min=0)
    inference_threads: int = setting(
        0, "Batches drawn and encoded at a time; 0: one a core on the CPU, up to 4 on a GPU.", min=0
    )
    max_batch: int = setting(32, "Images in a batch, at most.", min=1, max=1024)
    batch_mb: int = setting(
        256,
        "Memory that a batch may take while it is drawn (MB), by what one image takes; one image always may.",
        min=1,
    )
    batch_ms: float = setting(
        50.0,
        "A batch is cut so that it takes about so long (ms): what a small request waits for while a large one "
        "is drawn.",
        min=1,
    )
    max_delay_ms: float = setting(
        2.0,
        "How long a small batch may wait for more (ms); only where larger batches are faster and several requests have "
        "been coming at a time.",
        min=0,
    )
    max_jobs: int = setting(256, "Jobs drawn at a time, in turn; the others wait in the queue.", min=1)
    preload: Preload = setting(
        Preload.NONE,
        "Models loaded at the start and when they come: none (each on its first request: a fraction of a second on a "
        "CPU, more on a GPU), the newest version of each, or all.",
    )
    memory_limit_mb: int = setting(2048, "Model weights kept loaded (MB); beyond, the least recently used go.", min=1)
    result_ttl_s: int = setting(600, "Results are kept so long after the last image (s).", min=60)
    lease_s: float = setting(
        5.0, "A worker silent for so long (s) is given up and others take its jobs.", min=1, max=60
    )
    max_crashes: int = setting(
        12, "A job that ends more workers than this in a row without one more image is failed.", min=1
    )
    stall_s: float = setting(300.0, "A batch that takes so long (s) hangs: the worker ends, others take over.", min=1)
    mark_keys: Path | None = setting(
        None,
        "File of the keys of watermarks, as `unikat keys mark` writes it; all workers have the same. The key `open`, "
        "which everybody knows, needs none.",
        exists=True,
    )
    content_gate: str = setting(
        "",
        "Drawings that the content gate takes for improper are refused: the score from which on, as 0.8, "
        "portraits=0.6 for a model, or both with a comma between; empty: nothing looks. Needs unikat[gate].",
    )
    destinations: str = setting(
        "",
        "Where batches may be written: URLs or paths with commas between, and all below them; empty: nowhere. Looked "
        "at again here, behind symbolic links.",
    )
    storage_keys: Path | None = setting(
        None,
        "File of the keys that batches can be encrypted with, as `unikat keys storage` writes it. A key that is added "
        "later is found without a restart.",
        exists=True,
    )
    writers: int = setting(3, "Shards written at a time: more helps only where the destination is slow.", min=1, max=64)
    write_timeout_s: float = setting(
        60.0,
        "A destination of which a writer hears nothing for so long (s) hangs: its batch pauses; no other one waits for "
        "it longer than a few seconds.",
        min=1,
    )
    credentials: CredentialsSettings = NO_CREDENTIALS
    name: str = setting("", "Name in Redis; empty: host, process and a random part.", variable="WORKER_NAME")

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for limits that are none."""
        super().__post_init__()
        try:
            ContentLimits.parse(self.content_gate)
        except ValueError as error:
            raise typer.BadParameter(f"--content-gate: {error}") from error
