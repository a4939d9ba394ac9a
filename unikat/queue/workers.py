"""The workers that are alive, and the models they serve, as they announce themselves with every beat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

from unikat.conditions import is_finite
from unikat.json_text import parse_json

MODELS_KEY: Final = "unikat:models"  # hash: model digest -> model.json with the digest filled in
WORKERS_KEY: Final = "unikat:workers"  # sorted set: worker name -> Redis' time of its last beat plus WORKER_TTL
MAX_STATUS: Final = 2**20  # bytes of a status: some 6,000 models
WORKER_TTL: Final = 10.0  # seconds without a beat after which a worker counts as dead
LATE_BEAT_S: Final = 5.0  # since the last beat: workers beat every 1.7 s, unless their leases are longer


def worker_key(name: str) -> str:
    """Key of a worker's `WorkerStatus`; it expires with the worker."""
    return f"unikat:worker:{name}"


def lease_key(name: str) -> str:
    """Key that exists while a worker is alive; without it, the worker's jobs are given to others."""
    return f"unikat:lease:{name}"


@dataclass(frozen=True)
class WorkerStatus:
    """What a live worker says of itself with every beat.

    `models` maps "name@version" to the digest that it serves; rates are moving averages, per second. `terms` are the
    fields of a job by which it may refuse an image (`unikat.queue.job.TERMS`) and which it knows; `indexed` are the
    digests of models that it compares with their training pictures; `directions` are those of each digest, with their
    strengths; `content_gate` is its setting of this name, and
    `refused` counts what it has not delivered, by the reason.
    """

    name: str
    models: dict[str, str]
    device: str
    provider: str
    runtime: str
    images_per_second: float
    jobs_per_second: float
    beat_at: float
    terms: list[str] = field(default_factory=list)
    indexed: list[str] = field(default_factory=list)
    content_gate: str = ""
    directions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """JSON text, as stored under `worker_key(name)`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> WorkerStatus:
        """The inverse of `to_json`; fields of later releases are passed over. Raises ValueError for anything else."""
        if len(text) > MAX_STATUS:
            raise ValueError(f"a status has at most {MAX_STATUS} bytes")
        try:
            found = parse_json(text)
            status = cls(**{name: found[name] for name in cls.__dataclass_fields__ if name in found})
        except TypeError as error:
            raise ValueError(f"not a status: {error}") from error
        texts = (status.name, status.device, status.provider, status.runtime, status.content_gate)
        rates = (status.images_per_second, status.jobs_per_second, status.beat_at)
        is_map = isinstance(status.models, dict) and all(isinstance(digest, str) for digest in status.models.values())
        are_texts = all(isinstance(text, str) for text in texts)
        if not (is_map and are_texts and status._has_terms() and all(map(is_finite, rates))):
            raise ValueError("not a status: a field is not of its type")
        return status

    def _has_terms(self) -> bool:
        """Whether what is said of refusals is of its types."""
        lists = all(isinstance(of, list) for of in (self.terms, self.indexed)) and isinstance(self.refused, dict)
        return (
            lists
            and isinstance(self.directions, dict)
            and all(isinstance(of, dict) and all(map(is_finite, of.values())) for of in self.directions.values())
            and all(isinstance(text, str) for text in (*self.terms, *self.indexed, *self.refused))
            and all(type(number) is int for number in self.refused.values())
        )
