"""Settings of the service: each is declared once, with its flag, environment variable, unit, default and reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import typer

from unikat.batches.destination import open_prefixes
from unikat.batches.spec import MAX_SHARD_SIZE
from unikat.conditions import Denied
from unikat.content_credentials.settings import NO_CREDENTIALS, CredentialsSettings
from unikat.credentials import SCOPES
from unikat.listening import Listening
from unikat.mark_keys import NO_MARK, OPEN, check_key_id
from unikat.observed import Observed
from unikat.refusal import MODES, ORIGINALITY
from unikat.settings import setting
from unikat.v1.studio_pb2 import ORIGINALITY_MODE_OFF, OriginalityMode
from unikat_service.denials import parse_denied

MAX_SHARDS: Final = 10_000  # of one batch: 27 bytes of Redis each, while it waits, and one script call for all


class OriginalityName(StrEnum):
    """What is done with near copies."""

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"


class Anonymous(StrEnum):
    """Who is served without token and certificate."""

    LOCAL = "local"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True)
class Settings(Listening, Observed):
    """What `unikat serve` can be told."""

    listen: str = setting("127.0.0.1:50051", "Address to listen on (host:port; port 0 takes a free one).")
    redis_url: str = setting(
        "redis://127.0.0.1:6379",
        "Redis or Valkey: redis://, rediss:// (TLS), unix://, or redis+sentinel://host:port,host:port/service.",
    )
    allow_volatile: bool = setting(
        False, "Use a Redis that forgets: one that keeps nothing on disk, or evicts keys. Jobs may be lost."
    )
    max_count: int = setting(4096, "Images that one call may ask for (more is a batch).", min=1)
    max_batch_images: int = setting(
        1_000_000, "Images that one batch may have, at most.", min=1, max=MAX_SHARDS * MAX_SHARD_SIZE
    )
    shard_size: int = setting(
        256,
        "Images in a shard of a batch that does not say (a crash costs a worker at most this much work).",
        min=1,
        max=MAX_SHARD_SIZE,
    )
    destinations: str = setting(
        "", "Where batches may be written: comma-separated prefixes (file:///srv/art,s3://assets; none: nowhere)."
    )
    max_queue: int = setting(1000, "Jobs that may wait for a model (beyond it, calls are told to come back).", min=1)
    max_work_s: float = setting(
        3600.0,
        "Work that calls in progress may amount to, at the rates that workers say (s; 0: no limit). Of this, of "
        "--max-waiting-mb, --max-queue and the limits of batches, a caller has --caller-percent.",
        min=0,
    )
    max_waiting_mb: int = setting(
        256, "What calls in progress may take of Redis with their results (MB; 0: no limit).", min=0
    )
    caller_percent: int = setting(
        50, "What one caller may have of what all may have (%; where callers are told apart).", min=1, max=100
    )
    caller_calls: int = setting(
        0, "Calls that one caller may have in progress (0: no limit; where callers are told apart).", min=0
    )
    caller_images_per_minute: int = setting(
        0, "Images a minute that one caller may ask for by calls (0: no limit; where callers are told apart).", min=0
    )
    max_calls: int = setting(
        2000, "Calls of all kinds that one service serves at a time; health checks are not counted.", min=1
    )
    max_open_batches: int = setting(200, "Batches that have not ended (0: no limit).", min=0)
    max_batch_mb: int = setting(
        192, "What batches may take of Redis, those that have ended and are kept included (MB; 0: no limit).", min=0
    )
    max_batch_hours: float = setting(
        168.0, "Work that is left of open batches, at the rates that workers say (h; 0: no limit).", min=0
    )
    batch_memory_percent: int = setting(
        60,
        "New batches are refused while Redis uses more of its maxmemory (%; calls go on to --max-memory-percent).",
        min=1,
        max=100,
    )
    batch_ttl_days: float = setting(
        30.0, "Batches are forgotten so long after their end (days; 0: never). Their files stay.", min=0
    )
    mark: str = setting(
        OPEN,
        "Marks of new images: an invisible watermark by the key of this id, and metadata that say what drew it. `open` "
        "is a key that everybody knows; workers need the others (--mark-keys). `none`: no marks.",
    )
    originality: OriginalityName = setting(
        OriginalityName.OFF,
        "What is done with drawings that are near to a training picture, by workers, for models whose bundles have an "
        "index of these: nothing (off), the response says how near (warn), or they are drawn again and at last refused "
        "(enforce; calls for models without an index are refused). Requests can ask for more.",
    )
    deny: str = setting(
        "",
        "Categories that are not delivered: model.attribute=category, with commas between, such as "
        "portraits.mood=serious. Who asks for one is told so; one that comes where a request left it open is refused.",
    )
    # Services look after what their calls wait for every 8 s: what is kept for less than that would not last.
    result_ttl_s: int = setting(600, "How long results outlive their job (s; callers can resume).", min=60)
    failure_ttl_s: int = setting(86_400, "How long failed jobs are kept for inspection (s).", min=1)
    retries: int = setting(3, "Times a failed job is tried again before it counts as failed.", min=1)
    worker_grace_s: float = setting(30.0, "Calls are still queued this long after the last worker (s).", min=0)
    grace_s: float = setting(10.0, "After SIGTERM, time for running calls to end by themselves (s).", min=0)
    max_memory_percent: int = setting(
        80,
        "New calls are refused while Redis uses more of its maxmemory (%; the rest is for calls under way).",
        min=1,
        max=100,
    )
    certificate_scopes: str = setting(
        "generate,batch", "What callers may do whom a certificate names and no token (generate, batch, claim, admin)."
    )
    credentials: CredentialsSettings = NO_CREDENTIALS
    anonymous: Anonymous = setting(
        Anonymous.LOCAL,
        "Who is served without token and certificate: callers on this machine while there are no tokens (local), "
        "whoever reaches the address (all), nobody (none).",
    )
    debug: bool = setting(False, "Log more, and serve channelz (to callers with the scope admin).")

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for settings that contradict one another."""
        Listening.__post_init__(self)
        Observed.__post_init__(self)
        if unknown := self.scopes_of_certificates - set(SCOPES):
            text = f"--certificate-scopes: {', '.join(sorted(unknown))} is none of {', '.join(SCOPES)}"
            raise typer.BadParameter(text)
        try:
            check_key_id(self.mark)
        except ValueError as error:
            raise typer.BadParameter(f"--mark: {error}") from error
        try:
            parse_denied(self.deny)
        except ValueError as error:
            raise typer.BadParameter(f"--deny: {error}") from error
        try:
            open_prefixes(self.destinations)
        except ValueError as error:
            raise typer.BadParameter(f"--destinations: {error}") from error

    @property
    def mark_key(self) -> str:
        """Id of the key of watermarks; "" where images have no marks."""
        return "" if self.mark == NO_MARK else self.mark

    @property
    def denied(self) -> Mapping[str, Denied]:
        """`deny` by the models' names."""
        return parse_denied(self.deny)

    def mode(self, asked: OriginalityMode) -> str:
        """What is done with near copies where `asked` is asked for: "warn", "enforce" or "", whichever is stricter."""
        return MODES[max(ORIGINALITY[self.originality], asked, ORIGINALITY_MODE_OFF) - ORIGINALITY_MODE_OFF]

    @property
    def prefixes(self) -> tuple[str, ...]:
        """`destinations` as canonical URLs."""
        return open_prefixes(self.destinations)

    @property
    def scopes_of_certificates(self) -> frozenset[str]:
        return frozenset(filter(None, (scope.strip() for scope in self.certificate_scopes.split(","))))
