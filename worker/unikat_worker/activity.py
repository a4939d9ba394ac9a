"""What this worker says of its work (`unikat.queue.activity`), put together once a beat."""

from __future__ import annotations

import math
import resource
from collections.abc import Sequence
from typing import Final

from unikat.bundle import key_of
from unikat.queue.activity import SHOWN, Activity, Running
from unikat_worker.active import ActiveJob
from unikat_worker.executor import Executor
from unikat_worker.scheduler import Scheduler
from unikat_worker.state import State

_STATM: Final = "/proc/self/statm"  # Linux: total and resident pages


def activity_of(scheduler: Scheduler, executor: Executor, state: State) -> Activity:
    """What is in hand now, and what was done in the last minute."""
    jobs, shards, rates, now = scheduler.jobs, scheduler.shards, state.rates, state.clock.now()
    oldest = sorted(jobs, key=lambda job: job.draw.enqueued_at)[:SHOWN]
    left = [(job.digest, job.draw.count - job.published) for job in jobs]
    left += [(shard.digest, shard.remaining) for shard in shards]
    models, loaded = executor.catalogue.models.values(), set(executor.catalogue.loaded)
    images, finished = rates.lately()
    return Activity(
        images_per_second=round(images, 3),
        jobs_per_second=round(finished, 3),
        jobs=len(jobs),
        shards=len(shards),
        work_s=round(seconds_of(left, executor, rates.images_per_second), 3),
        memory=resident_bytes(),
        loaded=[key_of(model) for model in models if model.digest in loaded],
        oldest=[_running(job, now) for job in oldest],
        recent=rates.recent(),
    )


def seconds_of(left: Sequence[tuple[str, int]], executor: Executor, images_per_second: float) -> float:
    """Of images left of digests: at the worker's rate, or where no call has shown one, at what its sessions take."""
    if images_per_second > 0:
        return sum(images for _, images in left) / images_per_second
    known = (executor.seconds(digest, images) for digest, images in left)
    return sum(filter(math.isfinite, known)) / executor.device.inference_threads


def _running(job: ActiveJob, now: float) -> Running:
    draw = job.draw
    age = max(0.0, now - draw.enqueued_at)
    return Running(job.id, draw.model, draw.caller, draw.count, job.published, round(age, 3))


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system does not say."""
    try:
        with open(_STATM) as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0
