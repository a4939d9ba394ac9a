"""A workbench for tests: real jobs in a real queue, real workers, and what came out of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from google.rpc.status_pb2 import Status
from redis import Redis
from rq import Queue, Retry
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.support.processes import Program, eventually, spawn
from tests.support.valkey import Valkey
from unikat.bundle import read_bundle
from unikat.encoders import newest_encoder
from unikat.queue.draws import ring
from unikat.queue.job import DrawJob
from unikat.queue.keys import DRAW, model_key, queue_name, queues_key
from unikat.queue.stream import RESPONSE, STATUS, stream_key
from unikat.queue.workers import WORKERS_KEY
from unikat.v1.studio_pb2 import Artwork, GenerateResponse, ImageFormat

READY = "^worker ready:"


@dataclass(frozen=True)
class Outcome:
    """A stream that has ended: its images, and `finished` or the `status` that it ended with."""

    ids: list[str]
    artworks: list[Artwork]
    finished: GenerateResponse | None
    status: Status | None

    @property
    def images(self) -> list[bytes]:
        """Encoded images, in order."""
        return [artwork.image for artwork in self.artworks]


class Bench:
    """A queue, a models folder and the workers on them."""

    def __init__(self, valkey: Valkey, redis: Redis, models: Path) -> None:
        self.valkey = valkey
        self.redis = redis
        self.models = models

    @property
    def queue(self) -> Queue:
        """The queue of tiny@1 and the caller "tests"."""
        return Queue(queue_name(self._model, "tests"), connection=self.redis, serializer=JSONSerializer)

    @property
    def _model(self) -> str:
        return model_key("tiny@1", read_bundle(self.models / "tiny" / "1").model.digest)

    def ring(self) -> None:
        """Jobs were put into the queue by RQ's methods: idle workers hear of them at once."""
        self.redis.sadd(queues_key(self._model), self.queue.name)
        ring(self.redis, self._model)

    @contextmanager
    def worker(self, **settings: object) -> Iterator[Program]:
        """A worker process; `lease_s=1` is UNIKAT_LEASE_S=1."""
        env = {"UNIKAT_REDIS_URL": self.valkey.url, "UNIKAT_MODELS": str(self.models)}
        env |= {f"UNIKAT_{name.upper()}": str(value) for name, value in settings.items()}
        with spawn("unikat_worker", env=env, ready=READY) as program:
            yield program

    def enqueue(self, digest: str, count: int = 1, seed: int = 1, **more: Any) -> Job:  # noqa: ANN401  (job fields)
        """What the service does; `more` are further fields of the job, and `retries`."""
        retries = more.pop("retries", 3)
        fields: dict[str, Any] = {"weights": {"style": {"ink": 1.0}}, "image_format": ImageFormat.IMAGE_FORMAT_PNG}
        fields |= more
        fields.setdefault("encoder", newest_encoder(fields["image_format"]))
        job = DrawJob(
            model="tiny@1", digest=digest, count=count, seed=seed, truncation=0.8, enqueued_at=time.time(), **fields
        )
        enqueued = self.queue.create_job(
            DRAW,
            kwargs=job.to_kwargs(),
            timeout=-1,
            result_ttl=600,
            failure_ttl=600,
            retry=Retry(max=retries) if retries else None,
        )
        self.redis.hset(enqueued.key, "unikat", job.extra)
        self.queue.enqueue_job(enqueued)
        self.ring()
        return enqueued

    def published(self, job: Job) -> int:
        """Entries in a job's stream."""
        return self.redis.xlen(stream_key(job.id))

    def outcome(self, job: Job, deadline: float = 90.0) -> Outcome:
        """What the stream holds when it has ended."""
        ended = eventually(lambda: self._ended(job), deadline, pause=0.01) or []
        ids, artworks, finished, status = [], [], None, None
        for entry_id, fields in ended:
            ids.append(entry_id.decode())
            if STATUS in fields:
                status = Status.FromString(fields[STATUS])
            else:
                response = GenerateResponse.FromString(fields[RESPONSE])
                if response.WhichOneof("event") == "artwork":
                    artworks.append(response.artwork)
                else:
                    finished = response
        return Outcome(ids, artworks, finished, status)

    def worker_names(self) -> list[str]:
        """Names of the workers that say they are alive."""
        return [cast(bytes, name).decode() for name in self.redis.zrange(WORKERS_KEY, 0, -1)]

    def state(self, job: Job) -> str:
        """RQ's status of a job."""
        return str(job.get_status().value)

    def wait_for_state(self, job: Job, state: str, deadline: float = 20.0) -> None:
        """RQ learns of an end a moment after the caller."""
        eventually(lambda: self.state(job) == state, deadline)

    def _ended(self, job: Job) -> list[tuple[bytes, Mapping[bytes, bytes]]] | None:
        key = stream_key(job.id)
        newest = cast("list[tuple[bytes, Mapping[bytes, bytes]]]", self.redis.xrevrange(key, count=1))
        if not newest:
            return None
        fields = newest[0][1]
        last = STATUS in fields or GenerateResponse.FromString(fields[RESPONSE]).WhichOneof("event") == "finished"
        return cast("list[tuple[bytes, Mapping[bytes, bytes]]]", self.redis.xrange(key)) if last else None


def assert_complete(outcome: Outcome, count: int) -> None:
    """Every image once, in order, and the end."""
    assert outcome.status is None
    assert outcome.ids == [f"{number}-0" for number in range(1, count + 2)]
    assert [artwork.index for artwork in outcome.artworks] == list(range(count))
    assert outcome.finished is not None
    assert outcome.finished.finished.count == count
