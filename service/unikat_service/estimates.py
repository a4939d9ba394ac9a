"""How much work a call or a batch would be: by the same figures that admission charges."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from unikat.bundle import key_of
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import WorkEstimate
from unikat_service.catalogue import Snapshot


def estimate(model: Model, count: int, seconds: float, ahead: float, snapshot: Snapshot) -> WorkEstimate:
    """`seconds` of work are what the quotas would count, 0: not known; `ahead` are in progress."""
    key = key_of(model)
    found = WorkEstimate(
        model=key,
        model_digest=model.digest,
        count=count,
        worker_count=snapshot.live.get(key, 0),
        images_per_second=snapshot.rates.get(model.digest, 0.0),
        ahead=_duration(ahead),
    )
    if seconds > 0:
        found.work.CopyFrom(_duration(seconds))
        found.expected.CopyFrom(_duration(seconds + ahead))
    return found


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1e6))
    return duration
