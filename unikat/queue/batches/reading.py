"""A batch from what Redis holds of it, which may be damaged."""

from __future__ import annotations

from typing import Final

from unikat.batches import record as r
from unikat.batches.record import BatchRecord
from unikat.batches.spec import BatchSpec
from unikat.queue.batches.jobs import text_of

_MOST_SHARDS: Final = 1_000_000  # far more than any service makes
# What reading a batch raises that nobody of ours wrote so; Overflow: of a number that is infinite.
DAMAGED: Final = (ValueError, KeyError, TypeError, OverflowError)


def ended_before(end: bytes | None, moment: float) -> bool:
    """Whether a batch whose field says so had ended by a moment (Unix time in seconds)."""
    try:
        return end is not None and float(end) <= moment
    except ValueError:  # damaged
        return False


def left_of(seconds: bytes | None, shards: bytes | None, done: int) -> float:
    """Seconds of work that are left of a batch of which so many shards are written; 0 for one that is damaged."""
    try:
        return max(0.0, float(seconds or 0) * (1 - done / int(shards or 1)))
    except (*DAMAGED, ZeroDivisionError):
        return 0.0


def record_of(
    batch: str,
    raw: dict[bytes, bytes],
    done: bytes | None,
    failed: dict[bytes, bytes],
    pace: list[bytes],
    refused: dict[bytes, bytes],
) -> BatchRecord:
    """A batch from what was read; `refused` counts by shard. Raises one of DAMAGED for what we do not write."""
    fields = text_of(raw)
    BatchSpec.from_json(fields[r.HEAD], "[]")
    shards = int(fields[r.SHARDS])
    if not 0 <= shards <= _MOST_SHARDS:
        raise ValueError(f"{shards} shards")
    written = written_shards(done, shards)
    record = BatchRecord(
        id=batch,
        fields=fields,
        done=len(written),
        last_done=shards - 1 in written,
        failed=failed_shards(failed, shards),
        pace=[_pace(entry) for entry in pace],
        refused=sum(map(int, refused.values())),
    )
    record.to_message()
    return record


def written_shards(bitmap: bytes | None, shards: int) -> set[int]:
    """The shards whose bits are set."""
    bitmap = (bitmap or b"")[: shards // 8 + 1]
    bits = f"{int.from_bytes(bitmap):0{8 * len(bitmap)}b}"
    return {shard for shard, bit in enumerate(bits[:shards]) if bit == "1"}


def failed_shards(fields: dict[bytes, bytes], shards: int) -> dict[int, str]:
    """Shards that failed, and why; a job written by hand can fail under a number that the batch does not have."""
    return {int(shard): why.decode() for shard, why in fields.items() if int(shard) < shards}


def _pace(entry: bytes) -> tuple[float, int]:
    moment, images = entry.decode().split(":")
    return float(moment), int(images)
