"""What calls and batches may take, in all and of one caller, and how a refusal says which limit was met.

The limits are compared in Redis (`unikat/queue/lua/enqueue.lua`, `create_batch.lua`), so that several services are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.rpc.code_pb2 import Code

from unikat.errors import Reason, UnikatError, error_of, retry_later
from unikat.queue.batches.budget import Allowance, Budget, BudgetSpent
from unikat.queue.budget import Quotas
from unikat.queue.calls import Full
from unikat_service.callers import is_told_apart
from unikat_service.settings import Settings

MIN_RETRY_S, MAX_RETRY_S = 0.5, 60.0
RETRY_BYTES_S: Final = 5.0
RETRY_FULL_STORE_S: Final = 5.0
DEFAULT_RATE: Final = 1.0  # jobs a second, where no worker has said one
_MB: Final = 2**20


@dataclass(frozen=True)
class _Limit:
    """How a limit is told: `text` takes `used` and `limit`."""

    setting: str
    text: str
    reason: Reason


_OF_CALLS: Final = {
    "queue": _Limit("max_queue", "{used} jobs wait already", Reason.QUEUE_FULL),
    "seconds": _Limit("max_work_s", "calls in progress amount to {used} s of work, of {limit}", Reason.QUEUE_FULL),
    "bytes": _Limit("max_waiting_mb", "calls in progress take {used} bytes, of {limit}", Reason.QUEUE_FULL),
    "own queue": _Limit("caller_percent", "{used} of your jobs wait, of {limit}", Reason.QUOTA_EXCEEDED),
    "own seconds": _Limit("caller_percent", "your calls amount to {used} s of work, of {limit}", Reason.QUOTA_EXCEEDED),
    "own bytes": _Limit("caller_percent", "your calls take {used} bytes, of {limit}", Reason.QUOTA_EXCEEDED),
    "calls": _Limit("caller_calls", "{used} of your calls are in progress, of {limit}", Reason.QUOTA_EXCEEDED),
    "images": _Limit(
        "caller_images_per_minute", "you had {used} images in this minute, of {limit}", Reason.QUOTA_EXCEEDED
    ),
}  # fmt: skip
_OF_BATCHES: Final = {
    "open": ("max_open_batches", "{used} batches are open, of {limit}", "cancel one, or wait for its end"),
    "bytes": ("max_batch_mb", "batches take {used} bytes, of {limit}", "delete some that have ended"),
    "seconds": ("max_batch_hours", "{used} s of work are left of open batches, of {limit}", "cancel one, or wait"),
}  # fmt: skip
_ALWAYS: Final = ("max_calls", "max_memory_percent", "batch_memory_percent")  # of Room and `store_full`


def limits() -> list[str]:
    """The flags of all settings that a refusal may name."""
    names = {*(each.setting for each in _OF_CALLS.values()), *(each[0] for each in _OF_BATCHES.values()), *_ALWAYS}
    return [_flag(name) for name in sorted(names)]


def quotas(settings: Settings) -> Quotas:
    """What calls may take."""
    return Quotas(
        caller_percent=settings.caller_percent,
        seconds=settings.max_work_s,
        bytes=settings.max_waiting_mb * _MB,
        caller_calls=settings.caller_calls,
        caller_images=settings.caller_images_per_minute,
    )


def allowance(settings: Settings, caller: str, images_per_second: float) -> Allowance:
    """What a batch of a caller may take."""
    every = Budget(settings.max_open_batches, settings.max_batch_mb * _MB, settings.max_batch_hours * 3600)
    if not is_told_apart(caller):
        return Allowance(all=every, images_per_second=images_per_second)
    part = settings.caller_percent / 100
    own = Budget(max(1, int(every.open * part)), int(every.bytes * part), every.seconds * part)
    return Allowance(own, every, images_per_second)


def call_refused(full: Full, jobs_per_second: float) -> UnikatError:
    """RESOURCE_EXHAUSTED for a call; `jobs_per_second` is what live workers do together."""
    limit = _OF_CALLS[full.what]
    seconds = full.seconds
    if full.what.endswith("queue"):
        # The time in which a tenth of the queue is settled: later calls find room, and not all come back at once.
        seconds = full.used / (jobs_per_second or DEFAULT_RATE) / 10
    elif full.what.endswith("bytes"):
        seconds = RETRY_BYTES_S
    return _refusal(limit, full.used, full.limit, seconds)


def batch_refused(spent: BudgetSpent) -> UnikatError:
    """RESOURCE_EXHAUSTED for a batch."""
    setting, text, advice = _OF_BATCHES[spent.what]
    mine = spent.whose == "owner"
    limit = _Limit(
        "caller_percent" if mine else setting,
        f"{'of yours, ' if mine else ''}{text}: {advice}",
        Reason.QUOTA_EXCEEDED if mine else Reason.QUEUE_FULL,
    )
    return _refusal(limit, spent.used, round(spent.limit), MAX_RETRY_S)


def store_full(percent: int, flag: str) -> UnikatError:
    """RESOURCE_EXHAUSTED: Redis has not enough room left."""
    text = f"the job store is filled to more than {percent}% (the service's {flag}); results not fetched yet go first"
    return error_of(
        retry_later(
            Code.RESOURCE_EXHAUSTED, text, Reason.STORE_FULL, RETRY_FULL_STORE_S, setting=flag, limit=str(percent)
        )
    )


def seconds_of(images: int, images_per_second: float) -> float:
    """Of work expected; 0 where no worker has said how fast it is."""
    return round(images / images_per_second, 3) if images_per_second > 0 else 0.0


def _refusal(limit: _Limit, used: int, allowed: int, seconds: float) -> UnikatError:
    seconds = min(max(seconds, MIN_RETRY_S), MAX_RETRY_S)
    flag = _flag(limit.setting)
    text = f"{limit.text.format(used=used, limit=allowed)} (the service's {flag}); come back in {seconds:.1f} s"
    facts = {"setting": flag, "limit": str(allowed), "used": str(used)}
    return error_of(retry_later(Code.RESOURCE_EXHAUSTED, text, limit.reason, seconds, **facts))


def _flag(setting: str) -> str:
    return "--" + setting.replace("_", "-")
