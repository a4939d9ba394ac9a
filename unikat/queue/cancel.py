"""RQ's own cancellation of jobs that wait, with an expiry: RQ itself keeps cancelled jobs for good."""

from __future__ import annotations

# RQ annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from unikat.queue.clock import redis_time


def cancel_queued(redis: Redis, job_id: str, ttl_s: int) -> None:
    """Take a job off its queue and cancel it; nothing, if a worker was first: it finds the stream ended."""
    try:
        job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    except NoSuchJobError:
        return
    queue = Queue(job.origin, connection=redis, serializer=JSONSerializer)
    if not queue.remove(job_id):
        return
    registry = queue.canceled_job_registry
    moment = redis_time(redis)
    pipe = redis.pipeline()
    job.cancel(pipeline=pipe)
    pipe.zadd(registry.key, {job.id: moment + ttl_s})
    job.cleanup(ttl_s, pipeline=pipe)
    pipe.zremrangebyscore(registry.key, 0, moment)
    pipe.execute()
