"""A worker's side of the contract, worked by hand: what is in Redis is what a worker would put there, when a test says.

The tests with real workers are in `test_with_worker.py` and in `tests/end_to_end`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import cast

from google.protobuf import json_format
from google.protobuf.message import Message
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.support.tiny_model import tiny_model
from unikat.bundle import key_of
from unikat.errors import Reason, make_status
from unikat.queue.job import DrawJob
from unikat.queue.keys import LEGACY_QUEUE as QUEUE
from unikat.queue.stream import END_ID, RESPONSE, STATUS, artwork_id, finished_id, stream_key
from unikat.queue.workers import MODELS_KEY, WORKERS_KEY, WorkerStatus, worker_key
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Artwork, Finished, GenerateResponse

QUEUE_KEY = f"rq:queue:{QUEUE}"


def image_of(index: int, size: int = 500) -> bytes:
    """Bytes that differ from image to image."""
    return f"{index:08d}".encode() * (size // 8)


@dataclass
class Taken:
    """A job that was taken from the queue."""

    redis: Redis
    job_id: str
    job: DrawJob
    image_size: int = field(default=500, kw_only=True)

    def publish(self, *indices: int) -> None:
        """Publish images."""
        pipe = self.redis.pipeline(transaction=False)
        for index in indices:
            artwork = Artwork(index=index, image=image_of(index, self.image_size), seed=self.job.seed)
            self._add(pipe, artwork_id(index), RESPONSE, GenerateResponse(artwork=artwork))
        pipe.execute()

    def finish(self) -> None:
        """Publish the end of a complete job, and settle it."""
        end = GenerateResponse(finished=Finished(count=self.job.count))
        self._add(self.redis, finished_id(self.job.count), RESPONSE, end)
        self.settle("finished")

    def complete(self) -> None:
        """Publish everything."""
        self.publish(*range(self.job.count))
        self.finish()

    def fail(self, code: int, reason: Reason, message: str = "it cannot be drawn") -> None:
        """Publish the end of a job that failed."""
        status = make_status(code, message, reason, job_id=self.job_id)
        self._add(self.redis, END_ID, STATUS, status)
        self.settle("failed")

    def _add(self, redis: Redis, entry_id: str, field: bytes, message: Message) -> None:
        redis.xadd(stream_key(self.job_id), {field: message.SerializeToString()}, id=entry_id)

    def settle(self, status: str) -> None:
        """Set RQ's status of the job."""
        self.redis.hset(Job.key_for(self.job_id), "status", status)


class ByHand:
    """Announces workers and takes jobs."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def announce(self, *models: Model, name: str = "w1", rate: float = 10.0, seconds: float = 600.0) -> None:
        """A worker that serves `models` (by default "tiny@1") and counts as alive for some seconds."""
        served = {}
        for model in models or (described(tiny_model()),):
            self.redis.hset(MODELS_KEY, model.digest, json_format.MessageToJson(model))
            served[key_of(model)] = model.digest
        status = WorkerStatus(name, served, "cpu", "CPUExecutionProvider", "onnxruntime", 100.0, rate, time.time())
        self.redis.set(worker_key(name), status.to_json(), px=round(seconds * 1000))
        self.redis.zadd(WORKERS_KEY, {name: time.time() + seconds})

    def bury(self, name: str = "w1") -> None:
        """A worker dies."""
        self.redis.zadd(WORKERS_KEY, {name: time.time() - 1})
        self.redis.delete(worker_key(name))

    def take(self, image_size: int = 500) -> Taken:
        """The next job, as soon as there is one."""
        popped = cast(list[bytes] | None, self.redis.blpop([QUEUE_KEY], timeout=10))
        assert popped is not None, "no job was enqueued"
        job = Job.fetch(popped[1].decode(), connection=self.redis, serializer=JSONSerializer)
        job.set_status("started")  # type: ignore[arg-type]  # RQ's enum is a string
        return Taken(self.redis, job.id, DrawJob.from_kwargs(job.kwargs), image_size=image_size)

    @property
    def queued(self) -> list[str]:
        """Ids of the jobs that wait."""
        return [job_id.decode() for job_id in cast(list[bytes], self.redis.lrange(QUEUE_KEY, 0, -1))]


def described(model: Model) -> Model:
    """The model with a digest, made from what it says of itself."""
    model.digest = f"sha256:{hash(json.dumps(json_format.MessageToDict(model), sort_keys=True)) & (2**64 - 1):064x}"
    return model
