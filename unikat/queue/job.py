"""A draw job: what a service resolves and a worker draws. docs/architecture.md says what each field is for.

The payload is JSON in RQ's `data` (`rq.serializers.JSONSerializer`; pickle is refused: who can write to Redis must not
be able to run code in a worker). What came after the first release is in hash fields beside RQ's, which workers of the
first release ignore: `unikat` (JSON) and `unikat_deadline`.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from base64 import b64encode
from collections.abc import Collection, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from unikat.conditions import Denied, Weights, are_denied, are_weights, is_finite
from unikat.json_text import parse_json
from unikat.queue.keys import DRAW
from unikat.queue.scripts import Argument
from unikat.refusal import MODES
from unikat.sampling import MAX_ATTEMPT
from unikat.v1.batches_pb2 import CreateBatchRequest
from unikat.v1.studio_pb2 import GenerateRequest

# Bytes of a payload, RQ's compression undone: a shard's conditions are a part of a request of at most 3 MiB. Beyond it,
# the scripts hand out nothing (`common.lua`).
MAX_PAYLOAD: Final = 4 * 2**20
FINGERPRINT: Final = "fingerprint"  # in a job's meta: what its request_id stands for

_PAYLOAD: Final = (
    "model", "digest", "weights", "count", "seed", "truncation", "image_format", "enqueued_at", "deadline", "first",
)  # fmt: skip
_SHOWN: Final = 200  # characters of what is no job, in messages

_EXTRA: Final = (
    "encoder", "background", "caller", "seconds", "text", "mark", "trace", "originality", "attempt", "deny", "recipe",
)  # fmt: skip
# Of these and of a shard's, what a worker that does not know it must not draw without.
TERMS: Final = ("originality", "attempt", "deny", "recipe", "credentials")


@dataclass(frozen=True, slots=True)
class DrawJob:
    """What a worker needs to draw a request: everything is resolved, nothing is left to chance.

    `weights` are normalised (attributes left out are drawn per image by the worker), `image_format` is a value of
    the proto enum, `enqueued_at` and `deadline` are Unix times in seconds, on Redis' clock. `first` is the index of the
    first image: in the job and its stream, images are counted from 0. `encoder` names the version that makes the files,
    `background` is "#rrggbbaa" for a model with alpha (`unikat.background`), `caller` whose turn it is,
    `seconds` the work that it is expected to take (0: not known), `mark` the id of the key of watermarks ("": none).
    `originality` is "warn", "enforce" or "", `attempt` what drawing begins with, `deny` (attribute to categories) what
    must not be drawn. `recipe` says what images have in place of the latents of `seed` (`unikat.recipes.sequence`), and
    is empty where they have those. `trace` is the W3C context of the call ("": none). `text` (canonical text of the
    recipe) is not filled today; `more` carries what later releases add.
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
    encoder: str = ""
    background: str = ""
    caller: str = ""
    seconds: float = 0.0
    text: str = ""
    mark: str = ""
    trace: str = ""
    originality: str = ""
    attempt: int = 0
    deny: Denied = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the RQ job: JSON values only."""
        return {name: getattr(self, name) for name in _PAYLOAD}

    @property
    def extra(self) -> str:
        """The hash field `unikat`: JSON."""
        return json.dumps({**self.more, **{name: value for name in _EXTRA if (value := getattr(self, name))}})

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any], extra: str | bytes = b"") -> DrawJob:
        """Raises ValueError if the payload is not one that this version understands."""
        try:
            found = parse_json(extra) if extra else {}
            known = {name: kwargs[name] for name in _PAYLOAD if name in kwargs}
            known |= {name: found.pop(name) for name in _EXTRA if name in found}
            job = cls(**known, more=found)
        except (TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a draw job: {error}") from error
        if not job._is_sound():
            raise ValueError(f"not a draw job: {str(kwargs)[:_SHOWN]}")
        return job

    def _is_sound(self) -> bool:
        """Whether every field has a value of its type that a service could have written."""
        texts = (self.model, self.digest, self.encoder, self.background, self.caller, self.text, self.mark, self.trace)
        times = (self.enqueued_at, self.seconds, self.truncation, 0 if self.deadline is None else self.deadline)
        whole = (self.count, self.seed, self.image_format, self.first, self.attempt)
        return (
            all(isinstance(text, str) for text in texts)
            and all(is_finite(number) for number in times)
            and all(type(number) is int and number >= 0 for number in whole)
            and self.seed < 2**64
            and self.attempt <= MAX_ATTEMPT
            and self.originality in MODES
            and are_denied(self.deny)
            and self.first + self.count <= 2**32
            and are_weights(self.weights)
            and isinstance(self.recipe, dict)
        )

    @classmethod
    def from_hash(cls, data: bytes, extra: bytes, deadline: bytes) -> DrawJob:
        """From the hash fields `data`, `unikat` and `unikat_deadline`. Raises ValueError, also for another call."""
        _, kwargs = call_of(data, [DRAW])
        return cls.from_kwargs(kwargs | {"deadline": float(deadline)} if deadline else kwargs, extra)


def call_of(data: bytes, functions: Collection[str]) -> tuple[str, dict[str, Any]]:
    """The function that a job calls, and its keyword arguments, from RQ's [function, instance, args, kwargs].

    Raises ValueError unless it is one of `functions`, and for what is not JSON; pickle is never read.
    """
    raw = _decompressed(data)
    if not raw or len(raw) > MAX_PAYLOAD:
        raise ValueError(f"its payload is empty, or larger than {MAX_PAYLOAD} bytes")
    try:
        found = parse_json(raw)
    except ValueError as error:
        raise ValueError(f"its payload is not JSON ({error}); pickle is never read") from error
    try:
        function, _, args, kwargs = found
    except (TypeError, ValueError) as error:
        raise ValueError(f"its payload is not a call: {error}") from error
    if function not in functions or args or not isinstance(kwargs, dict):
        allowed = " and ".join(functions)
        raise ValueError(f"it calls {str(function)[:_SHOWN]!r}; this queue is for {allowed} with keyword arguments")
    return function, kwargs


def _decompressed(data: bytes) -> bytes:
    """What RQ may have compressed, as far as it may be long: a few bytes can stand for gigabytes."""
    if not data.startswith(b"["):
        with suppress(zlib.error):
            return zlib.decompressobj().decompress(data, MAX_PAYLOAD + 1)
    return data


def rq_result(value: Any) -> str:  # noqa: ANN401  (JSON)
    """A return value as RQ writes it into results."""
    return b64encode(json.dumps(value).encode()).decode()


@dataclass(frozen=True)
class Limits:
    """What RQ is told of every job: tries after a failure, and how long results and failures are kept (s)."""

    retries: int
    result_ttl: int
    failure_ttl: int


def common_fields(limits: Limits) -> list[Argument]:
    """Fields and values of the hashes of all jobs, as `rq.Queue.enqueue` writes them; the script adds the time."""
    fields: dict[str, Argument] = {
        "success_callback_name": "", "failure_callback_name": "", "stopped_callback_name": "",
        "started_at": "", "ended_at": "", "last_heartbeat": "", "worker_name": "", "group_id": "",
        "retries_left": limits.retries, "retry_intervals": "[0]", "timeout": -1,
        "result_ttl": limits.result_ttl, "failure_ttl": limits.failure_ttl, "status": "queued",
    }  # fmt: skip
    return [part for pair in fields.items() for part in pair]


def own_fields(job: DrawJob, fingerprint: str) -> list[Argument]:
    """Values of the fields that differ: `data`, `description`, `meta`, and ours, `unikat`."""
    data = json.dumps([DRAW, None, [], job.to_kwargs()])
    meta = json.dumps({FINGERPRINT: fingerprint}) if fingerprint else "{}"
    return [data, f"{job.count} of {job.model}", meta, job.extra]


def fingerprint(request: GenerateRequest | CreateBatchRequest) -> str:
    """SHA-256 of a request's content: the same for calls that ask for the same images, whatever they resume after."""
    content = deepcopy(request)
    content.ClearField("request_id")
    if isinstance(content, GenerateRequest):
        content.ClearField("after_index")
        content.ClearField("credentials")  # what is drawn is the same
    # Maps have no order on the wire; "deterministic" sorts them.
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()
