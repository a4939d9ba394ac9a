"""A worker's side of the contract, worked by hand: what is in Redis is what a worker would put there, when a test says.

The tests with real workers are in `test_with_worker.py` and in `tests/end_to_end`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from redis import Redis
from rq.job import Job

from tests.support.tiny_model import tiny_model
from unikat.bundle import key_of
from unikat.errors import Reason, make_status
from unikat.queue.draws import Completion, Publication, Published, Taken, close, publish, published, take, taken
from unikat.queue.job import DrawJob, rq_result
from unikat.queue.keys import model_key
from unikat.queue.scripts import HOT, Command, script
from unikat.queue.workers import MODELS_KEY, WORKERS_KEY, WorkerStatus, worker_key
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Artwork, Finished, GenerateResponse, Refusal, Refused

WORKER: Final = "w1"


def image_of(index: int, size: int = 500) -> bytes:
    """Bytes that differ from image to image."""
    return f"{index:08d}".encode() * (size // 8)


@dataclass
class Hand:
    """A job that was taken from the queue, drawn by a worker: published by the scripts."""

    redis: Redis
    taken: Taken
    job: DrawJob
    image_size: int = 500

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.taken.id

    def publish(self, *indices: int) -> Published:
        """Publish images."""
        return self._publish(indices, [self._artwork(index) for index in indices])

    def refuse(self, index: int) -> Published:
        """Publish that an image is not delivered."""
        refused = Refused(index=index, reason=Refusal.REFUSAL_CONTENT, detail="it is improper")
        return self._publish((index,), [GenerateResponse(refused=refused).SerializeToString()])

    def finish(self) -> None:
        """Publish the end of a complete job, and settle it."""
        self._publish((self.job.count,), [self._end()], self._completion())

    def complete(self) -> None:
        """Publish everything at once."""
        entries = [*map(self._artwork, range(self.job.count)), self._end()]
        assert self._publish(range(self.job.count + 1), entries, self._completion()).state == "finished"

    def fail(self, code: int, reason: Reason, message: str = "it cannot be drawn") -> None:
        """Publish the end of a job that failed."""
        close(self.redis, self.job_id, self.job.count, self._status(code, reason, message), 600)
        self.settle("failed")

    def settle(self, status: str) -> None:
        """Set RQ's status of the job."""
        self.redis.hset(Job.key_for(self.job_id), "status", status)

    def _publish(self, indices: Sequence[int], entries: list[bytes], completion: Completion | None = None) -> Published:
        publication = Publication(self.taken, indices[0] + 1, entries, completion)
        (result,) = published(evaluate(self.redis, publish(WORKER, [publication], 600)))
        return result

    def _completion(self) -> Completion:
        return Completion(rq_result({}), time.time(), 600, last=self.job.count + 1)

    def _artwork(self, index: int) -> bytes:
        artwork = Artwork(index=index, image=image_of(index, self.image_size), seed=self.job.seed)
        return GenerateResponse(artwork=artwork).SerializeToString()

    def _end(self) -> bytes:
        return GenerateResponse(finished=Finished(count=self.job.count)).SerializeToString()

    def _status(self, code: int, reason: Reason, message: str) -> Status:
        return make_status(code, message, reason, job_id=self.job_id)


def evaluate(redis: Redis, command: Command) -> Any:  # noqa: ANN401  (a script's reply)
    """Run the command of a script."""
    for name in HOT:
        redis.script_load(script(name).text)
    return redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py leaves it out


class ByHand:
    """Announces workers and takes jobs."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.models: set[str] = set()  # model keys of all that was ever announced

    def announce(
        self, *models: Model, name: str = WORKER, images: float = 100.0, rate: float = 10.0, seconds: float = 600.0,
        **more: list[str],
    ) -> None:  # fmt: skip
        """A worker that serves `models` (by default "tiny@1") and counts as alive for some seconds.

        `images` and jobs (`rate`) are what it says that it draws a second. `more` are fields of its status: without
        any, it is of the release before they came.
        """
        served = {}
        for model in models or (described(tiny_model()),):
            self.redis.hset(MODELS_KEY, model.digest, json_format.MessageToJson(model))
            served[key_of(model)] = model.digest
            self.models.add(model_key(key_of(model), model.digest))
        runtime = ("cpu", "CPUExecutionProvider", "onnxruntime")
        status = WorkerStatus(name, served, *runtime, images, rate, time.time(), **more)  # type: ignore[arg-type]
        self.redis.set(worker_key(name), status.to_json(), px=round(seconds * 1000))
        self.redis.zadd(WORKERS_KEY, {name: time.time() + seconds})

    def bury(self, name: str = WORKER) -> None:
        """A worker dies."""
        self.redis.zadd(WORKERS_KEY, {name: time.time() - 1})
        self.redis.delete(worker_key(name))

    def take(self, image_size: int = 500, kind: type[Hand] = Hand) -> Hand:
        """The next job, as soon as there is one."""
        until = time.monotonic() + 10
        while True:
            _, _, jobs = taken(evaluate(self.redis, take(WORKER, sorted(self.models), 1)))
            if jobs:
                job = DrawJob.from_hash(jobs[0].data, jobs[0].extra, jobs[0].deadline)
                return kind(self.redis, jobs[0], job, image_size)
            assert time.monotonic() < until, "no job was enqueued"
            time.sleep(0.005)

    @property
    def queued(self) -> list[str]:
        """Ids of the jobs that wait."""
        queues = sorted(cast(set[bytes], self.redis.smembers("rq:queues")))
        return [job.decode() for queue in queues for job in cast(list[bytes], self.redis.lrange(queue.decode(), 0, -1))]


def described(model: Model) -> Model:
    """The model with a digest, made from what it says of itself."""
    model.digest = f"sha256:{hash(json.dumps(json_format.MessageToDict(model), sort_keys=True)) & (2**64 - 1):064x}"
    return model
