"""The models that live workers serve, as Redis knows them; kept in memory and refreshed every second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from google.protobuf import json_format
from google.rpc.code_pb2 import Code
from redis.asyncio import Redis

from unikat.bundle import key_of, parse_reference
from unikat.conditions import choose_from
from unikat.errors import Reason, bad_field, error_of, retry_later
from unikat.jobs import MODELS_KEY, WORKERS_KEY, WorkerStatus, worker_key
from unikat.v1.model_pb2 import Model
from unikat_service.errors import store_unavailable
from unikat_service.paging import position_of

log = logging.getLogger(__name__)

REFRESH_S: Final = 1.0
# A model that is not known may have appeared just now, so a miss asks again; but not more often than this, so that
# unknown names do not become a load on Redis.
REFRESH_ON_MISS_S: Final = 0.05
RETRY_NO_WORKER_S: Final = 5.0


@dataclass(frozen=True)
class Snapshot:
    """What was served at one moment.

    `models` maps "name@version" to every model that a live worker serves or lately served; `live` are the keys that
    one serves now; `jobs_per_second` is the sum over live workers.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    live: frozenset[str] = frozenset()
    workers: int = 0
    jobs_per_second: float = 0.0

    def sorted(self) -> list[Model]:
        """By name, newest version first."""
        return sorted(self.models.values(), key=position_of)

    def find(self, reference: str) -> Model | None:
        """The model of "name@version", or the newest of "name". Raises ValueError for a malformed reference."""
        name, version = parse_reference(reference)
        if version is not None:
            return self.models.get(f"{name}@{version}")
        # One that a live worker serves goes before one that only lately was served.
        versions = [model for model in self.models.values() if model.name == name]
        return max(versions, key=lambda m: (key_of(m) in self.live, m.version), default=None)


class Catalogue:
    """The current snapshot. One for a process; used by one event loop."""

    def __init__(self, redis: Redis, grace: float) -> None:
        """`grace`: seconds for which a model counts as served after its last worker was seen."""
        self._redis = redis
        self._grace = grace
        self._parsed: dict[str, Model] = {}  # by digest; immutable, so for good
        self._seen: dict[str, tuple[str, float]] = {}  # "name@version" -> digest, when it was last served
        self._asked = 0.0  # when Redis was last asked
        self._failure: Exception | None = None
        self._lock = asyncio.Lock()
        self.snapshot = Snapshot()

    @property
    def healthy(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return self._failure is None

    async def current(self) -> Snapshot:
        """The snapshot. Raises UnikatError (UNAVAILABLE) while Redis does not answer or if there is no worker."""
        if self._failure is not None:
            raise store_unavailable(self._failure)
        if not self.snapshot.models:
            await self._refresh_on_miss()
        if not self.snapshot.models:
            text = "no worker is running; start one (unikat work) or come back later"
            if self.snapshot.workers:
                text = "no worker that runs has a model; put a bundle into their models folder"
            raise error_of(retry_later(Code.UNAVAILABLE, text, Reason.NO_WORKER, RETRY_NO_WORKER_S))
        return self.snapshot

    async def find(self, reference: str, field: str) -> Model:
        """The model of "name" or "name@version".

        Raises UnikatError: NOT_FOUND naming the models there are, or UNAVAILABLE as `current` does; ValueError for
        a malformed reference.
        """
        parse_reference(reference)
        model = (await self.current()).find(reference)
        if model is None:
            await self._refresh_on_miss()
            model = (await self.current()).find(reference)
        if model is None:
            there_are = choose_from((key_of(model) for model in self.snapshot.sorted()), reference)
            text = f'there is no model "{reference}"; {there_are}'
            raise error_of(bad_field(field, text, Code.NOT_FOUND, Reason.MODEL_NOT_FOUND))
        return model

    async def refresh(self) -> None:
        """Ask Redis; raises what Redis raises, and remembers it for callers."""
        async with self._lock:
            await self._refresh()

    async def _refresh_on_miss(self) -> None:
        missed = time.monotonic()
        async with self._lock:
            if self._asked > missed:  # by another call that missed, and what it learnt is new enough
                return
            await asyncio.sleep(self._asked + REFRESH_ON_MISS_S - missed)
            await self._refresh()

    async def _refresh(self) -> None:
        self._asked = time.monotonic()
        try:
            statuses = await self._live_workers()
            await self._parse(digest for status in statuses for digest in status.models.values())
            self._failure = None
        except Exception as error:
            self._failure = error
            raise
        self.snapshot = self._snapshot(statuses)

    async def _live_workers(self) -> list[WorkerStatus]:
        # All names ever heard: whose status is there is alive, by Redis's clock and not by one that may differ.
        names = cast(list[bytes], await self._redis.zrange(WORKERS_KEY, 0, -1))
        if not names:
            return []
        texts = await self._redis.mget([worker_key(name.decode()) for name in names])
        statuses = []
        for name, text in zip(names, texts, strict=True):
            if text is None:
                continue
            try:
                statuses.append(WorkerStatus.from_json(text))
            except (ValueError, TypeError) as error:
                log.warning("Worker %s says something that is not a status: %s", name.decode(), error)
        return statuses

    async def _parse(self, digests: Iterable[str]) -> None:
        wanted = sorted(set(digests) - self._parsed.keys())
        if not wanted:
            return
        for digest, text in zip(wanted, await self._redis.hmget(MODELS_KEY, wanted), strict=True):
            if text is None:
                log.warning("A worker serves %s, but its description is not in %s", digest, MODELS_KEY)
                continue
            try:
                self._parsed[digest] = json_format.Parse(text, Model(), ignore_unknown_fields=True)
            except json_format.ParseError as error:
                log.warning("The description of %s is not a model: %s", digest, error)

    def _snapshot(self, statuses: list[WorkerStatus]) -> Snapshot:
        served = Counter((key, digest) for status in statuses for key, digest in status.models.items())
        now = time.monotonic()
        live = set()
        # Where workers differ about a version, the digest that most of them serve comes last and stays.
        for (key, digest), _ in sorted(served.items(), key=lambda item: (item[1], item[0])):
            if digest in self._parsed:
                live.add(key)
                self._seen[key] = digest, now
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen[1] <= self._grace}
        return Snapshot(
            models={key: self._parsed[digest] for key, (digest, _) in self._seen.items()},
            live=frozenset(live),
            workers=len(statuses),
            jobs_per_second=sum(status.jobs_per_second for status in statuses),
        )
