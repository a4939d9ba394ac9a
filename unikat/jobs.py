"""The job contract between service and worker: queue, payload, and the workers that are alive.

A job is JSON in RQ (`rq.serializers.JSONSerializer`; pickle is refused: whoever can write to Redis must not be able
to run code in a worker). Nothing here talks to Redis: service and worker each have their own connection, one
asynchronous, the other not; they share the names and the encodings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from unikat.conditions import Weights
from unikat.v1.studio_pb2 import GenerateRequest

QUEUE: Final = "unikat"
DRAW: Final = "worker.jobs.draw"  # a name that jobs carry, not a module: its worker knows what it stands for
FINGERPRINT: Final = "fingerprint"  # in a job's meta: what its request_id stands for

MODELS_KEY: Final = "unikat:models"  # hash: model digest -> model.json with the digest filled in
WORKERS_KEY: Final = (
    "unikat:workers"  # sorted set: worker name -> Unix time of its last beat plus WORKER_TTL; who has a status is alive
)
WORKER_TTL: Final = 10.0  # seconds without a beat after which a worker counts as dead


def worker_key(name: str) -> str:
    """Key of a worker's `WorkerStatus`; it expires with the worker."""
    return f"unikat:worker:{name}"


def job_id_of(request_id: str) -> str:
    """The id of the one job that a request_id stands for."""
    return "r-" + hashlib.sha256(request_id.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class DrawJob:
    """What a worker needs to draw a request: everything is resolved, nothing is left to chance.

    `weights` are normalised (attributes left out are drawn per image by the worker), `image_format` is a value of
    the proto enum, `enqueued_at` and `deadline` are Unix times in seconds. `first` is the index of the first image: in
    the job and its stream, images are counted from 0.
    """

    model: str
    digest: str
    weights: Weights
    count: int
    seed: int
    truncation: float
    image_format: int
    enqueued_at: float
    deadline: float | None = None
    first: int = 0

    def to_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the RQ job: JSON values only."""
        return asdict(self)

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> DrawJob:
        """Raises ValueError if the payload is not one that this version understands."""
        try:
            job = cls(**kwargs)
        except TypeError as error:
            raise ValueError(f"not a draw job: {error}") from error
        numbers = (job.count, job.seed, job.image_format, job.first)
        if not (all(isinstance(n, int) and n >= 0 for n in numbers) and isinstance(job.weights, dict)):
            raise ValueError(f"not a draw job: {kwargs}")
        return job


def fingerprint(request: GenerateRequest) -> str:
    """SHA-256 of a request's content: the same for two calls that ask for the same, whatever they resume after."""
    content = GenerateRequest()
    content.CopyFrom(request)
    content.ClearField("after_index")
    content.ClearField("request_id")
    # Maps have no order on the wire; "deterministic" sorts them.
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()


@dataclass(frozen=True)
class WorkerStatus:
    """What a live worker says of itself with every beat.

    `models` maps "name@version" to the digest that it serves; rates are moving averages, per second.
    """

    name: str
    models: dict[str, str]
    device: str
    provider: str
    runtime: str
    images_per_second: float
    jobs_per_second: float
    beat_at: float

    def to_json(self) -> str:
        """JSON text, as stored under `worker_key(name)`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> WorkerStatus:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))
