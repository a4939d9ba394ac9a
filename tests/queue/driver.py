"""Draw jobs at the level of `unikat.queue`: enqueued, taken, published, settled, without a model or a process."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from unikat.queue.budget import Quotas
from unikat.queue.draws import Publication, Published, Taken, publish, published, take, taken
from unikat.queue.job import DrawJob, Limits, common_fields, own_fields
from unikat.queue.keys import queue_name
from unikat.queue.scripts import Argument, script
from unikat_worker.active import ActiveJob, Ending
from unikat_worker.admission import admit
from unikat_worker.publication import publication, take_in
from unikat_worker.scheduler import Scheduler
from unikat_worker.settlement import Settler

MODEL = "tiny@1.0123456789ab"
QUEUE = queue_name(MODEL, "ada")
LIMITS = Limits(retries=3, result_ttl=600, failure_ttl=900)


def draw_job(count: int = 2, seed: int = 1) -> DrawJob:
    """A job of tiny@1."""
    digest = "sha256:" + MODEL.partition(".")[2].ljust(64, "0")
    return DrawJob("tiny@1", digest, {}, count, seed, 0.8, 2, time.time(), caller="ada")


def run(redis: Redis, name: str, *arguments: Argument) -> Any:  # noqa: ANN401  (a script's reply)
    """Call a script."""
    redis.script_load(script(name).text)
    return redis.execute_command(*script(name).command(*arguments))


def enqueue_head(limits: Limits = LIMITS) -> list[Argument]:
    """What jobs have in common, as the service submits them."""
    fields = common_fields(limits)
    return [10_000, 600, *Quotas().arguments, len(fields) // 2, *fields]


def enqueue_arguments(
    job_id: str, job: DrawJob, lease: str = "front/1", model: str = MODEL, queue: str = QUEUE
) -> list[Argument]:
    """One job, as the service submits it."""
    return [job_id, model, queue, lease, "", job.count, 0, 0, *own_fields(job, "print")]


def enqueue(redis: Redis, jobs: Sequence[tuple[str, DrawJob]], limits: Limits = LIMITS) -> list[str]:
    """What became of each: queued, exists, full."""
    arguments = [each for job_id, job in jobs for each in enqueue_arguments(job_id, job)]
    return [reply[0].decode() for reply in run(redis, "enqueue", *enqueue_head(limits), *arguments)]


def execute(redis: Redis, command: Sequence[Argument]) -> Any:  # noqa: ANN401  (a script's reply)
    """A command of `draws`."""
    for name in ("take", "publish"):
        redis.script_load(script(name).text)
    return redis.execute_command(*command)


def take_jobs(redis: Redis, worker: str, most: int = 256, models: Sequence[str] = (MODEL,)) -> list[Taken]:
    """Jobs that this worker has begun."""
    return taken(execute(redis, take(worker, models, most)))[2]


def publish_all(redis: Redis, worker: str, publications: Sequence[Publication]) -> list[Published]:
    """What became of each."""
    return published(execute(redis, publish(worker, publications, 600)))


class Driver:
    """A worker of draw jobs, one step at a time."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.redis = redis
        self.worker = SimpleWorker([QUEUE], name=name, connection=redis, serializer=JSONSerializer)
        self.worker.register_birth()
        self.scheduler = Scheduler(
            1, 256, lambda digest: 8, lambda digest: 0.01, lambda shard: None, one_at_a_time=False
        )
        self.settler = Settler(self.worker, LIMITS.result_ttl)

    def take(self) -> ActiveJob | None:
        """A job that was begun."""
        jobs = [admit(job) for job in take_jobs(self.redis, self.worker.name, 1)]
        self.scheduler.add(jobs)
        return jobs[0] if jobs else None

    def finish(self, job: ActiveJob) -> None:
        """Its images are drawn and published, and whatever it ended with is settled."""
        for index in range(job.published, job.draw.count):
            job.ready[index] = b"\x12" + os.urandom(99)  # begins as a response with an artwork does
        while job.ending is None:
            (reply,) = publish_all(self.redis, self.worker.name, [publication(job)])
            take_in(self.scheduler, job, reply)
        self.settle()

    def fail(self, job: ActiveJob, error: Exception) -> None:
        """It could not be drawn."""
        job.error = error
        self.scheduler.end(job, Ending.FAILED)
        self.settle()

    def stop(self, job: ActiveJob) -> None:
        """An operator stopped it."""
        self.scheduler.end(job, Ending.STOPPED)
        self.settle()

    def settle(self) -> None:
        """RQ is told of what has ended."""
        while (job := self.scheduler.next_ended()) is not None:
            self.settler.settle(job)


def everything(redis: Redis) -> dict[bytes, bytes]:
    """All keys, as the server dumps them."""
    keys = sorted(cast("list[bytes]", redis.keys("*")))
    return dict(zip(keys, [cast(bytes, redis.dump(key)) for key in keys], strict=True))


Step = Callable[[Redis], object]
