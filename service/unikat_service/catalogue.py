"""The models that live workers serve, as Redis knows them; kept in memory and refreshed every second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from unikat.bundle import MAX_MANIFEST, key_of, parse_description, parse_reference
from unikat.conditions import CategoryNames, category_names, choose_from
from unikat.errors import Reason, bad_field, error_of, make_status, retry_later
from unikat.queue.clock import RedisClock
from unikat.queue.connection import Connection
from unikat.queue.control import Control
from unikat.queue.live import LiveWorkers, live_workers
from unikat.queue.workers import MODELS_KEY, WorkerStatus
from unikat.v1.model_pb2 import Direction, Model
from unikat_service.errors import store_unavailable
from unikat_service.paging import position_of

log = logging.getLogger(__name__)

REFRESH_S: Final = 1.0
# A model that is not known may have appeared just now, so a miss asks again; but not more often than this, so that
# unknown names do not become a load on Redis.
REFRESH_ON_MISS_S: Final = 0.05
RETRY_NO_WORKER_S: Final = 5.0
REFUSED_S: Final = 2.0  # a description that cannot be used is read again so late


@dataclass(frozen=True)
class Snapshot:
    """What was served at one moment.

    `models` maps "name@version" to every model that a live worker serves or lately served; `live` has the keys that
    are served now, and by how many workers; `served` those of `models` and every other (key, digest) that was served
    lately; `names` the workers that serve any version of a name. `jobs_per_second` is the sum over live workers,
    `rates` of each digest that of the images a second of those that serve it, and `rated` how many of these say a rate;
    `terms` of each digest the fields of a job by which all of these may refuse an image, `indexed` the digests that all
    compare with training pictures.
    `control` is what operators said: what is unloaded is in `served` only.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    live: Mapping[str, int] = field(default_factory=dict)
    served: frozenset[tuple[str, str]] = frozenset()
    names: Mapping[str, int] = field(default_factory=dict)
    workers: int = 0
    jobs_per_second: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    rated: Mapping[str, int] = field(default_factory=dict)
    terms: Mapping[str, frozenset[str]] = field(default_factory=dict)
    indexed: frozenset[str] = frozenset()
    memory_percent: float = 0.0  # of what Redis may use
    control: Control = field(default_factory=Control)
    worker_names: frozenset[str] = frozenset()

    def sorted(self) -> list[Model]:
        """By name, newest version first."""
        return sorted(self.models.values(), key=position_of)

    def find(self, reference: str) -> Model | None:
        """The model of "name@version", or of "name" the version that it is pinned to, else the newest that half of its
        workers serve.

        Raises ValueError for a malformed reference.
        """
        name, version = parse_reference(self.control.resolve(reference))
        if version is not None:
            return self.models.get(f"{name}@{version}")
        versions = [model for model in self.models.values() if model.name == name]
        workers = self.names.get(name, 0)

        def rank(model: Model) -> tuple[bool, int, int]:
            # Where none is served by half of the workers, the one that most serve; none at all: that was lately served.
            count = self.live.get(key_of(model), 0)
            by_half = count > 0 and 2 * count >= workers
            return by_half, 0 if by_half else count, model.version

        return max(versions, key=rank, default=None)

    def withheld(self, reference: str) -> Status | None:
        """Why what operators said keeps a model from being found: it is unloaded, or pinned to one that is away."""
        name, version = parse_reference(self.control.resolve(reference))
        unloaded = self.control.unloaded
        keys = [f"{name}@{version}"] if version is not None else [key for key in unloaded if key.startswith(f"{name}@")]
        for key in sorted(keys, reverse=True):
            if (said := unloaded.get(key)) is not None:
                why = f': "{said.why}"' if said.why else ""
                text = f"{key} is unloaded{why} ({said.who}); `unikat models load {key}` has it served again"
                return make_status(Code.FAILED_PRECONDITION, text, Reason.MODEL_UNLOADED)
        if (pin := self.control.pinned.get(name)) is not None and pin.subject == f"{name}@{version}" != reference:
            text = (
                f'"{name}" is pinned to {pin.subject}, which no worker serves; `unikat models unpin {name}` ends that'
            )
            return retry_later(Code.UNAVAILABLE, text, Reason.NO_WORKER, RETRY_NO_WORKER_S)
        return None


class Catalogue:
    """The current snapshot. One for a process; used by one event loop."""

    def __init__(self, redis: Connection, grace: float) -> None:
        """`grace`: seconds for which a model counts as served after its last worker was seen."""
        self._redis = redis
        self._grace = grace
        self._parsed: dict[str, Model] = {}  # by digest, of what is served
        self._names: dict[str, CategoryNames] = {}  # of the same
        self._refused: dict[str, float] = {}  # digests without a description that can be used, until when
        self._seen: dict[tuple[str, str], float] = {}  # ("name@version", digest) -> when it was last served
        self._current: dict[str, str] = {}  # "name@version" -> the digest that most workers served when one did
        self._asked = 0.0  # when Redis was last asked
        self._failure: Exception | None = None
        self._lock = asyncio.Lock()
        self.clock = RedisClock()
        self.snapshot = Snapshot()

    @property
    def healthy(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return self._failure is None

    async def current(self) -> Snapshot:
        """The snapshot. Raises UnikatError (UNAVAILABLE) while Redis does not answer or if there is no worker."""
        if self._failure is not None:
            raise store_unavailable(self._failure)
        if self._has_nothing:
            await self._refresh_on_miss()
        if self._has_nothing:
            text = "no worker is running; start one (unikat work) or come back later"
            if self.snapshot.workers:
                text = "no worker that runs has a model; put a bundle into their models folder"
            raise error_of(retry_later(Code.UNAVAILABLE, text, Reason.NO_WORKER, RETRY_NO_WORKER_S))
        return self.snapshot

    @property
    def _has_nothing(self) -> bool:
        """Whether there is no model, and not because all are unloaded."""
        snapshot = self.snapshot
        return not snapshot.models and not (snapshot.workers and snapshot.control.unloaded)

    async def find(self, reference: str, field: str) -> Model:
        """The model of "name" or "name@version".

        Raises UnikatError: NOT_FOUND naming the models there are, FAILED_PRECONDITION for one that is unloaded, or
        UNAVAILABLE as `current` does; ValueError for a malformed reference.
        """
        parse_reference(reference)
        model = (await self.current()).find(reference)
        if model is None:
            await self._refresh_on_miss()
            model = (await self.current()).find(reference)
        if model is None:
            if (status := self.snapshot.withheld(reference)) is not None:
                raise error_of(status)
            there_are = choose_from((key_of(model) for model in self.snapshot.sorted()), reference)
            text = f'there is no model "{reference}"; {there_are}'
            raise error_of(bad_field(field, text, Code.NOT_FOUND, Reason.MODEL_NOT_FOUND))
        return model

    def category_names(self, model: Model) -> CategoryNames:
        """Attributes and categories of a model that `find` found."""
        return self._names.get(model.digest) or category_names(model)

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

    def require_served(self, key: str, digest: str) -> None:
        """Raises UnikatError (UNAVAILABLE) where `unserved` says so."""
        if (status := self.unserved(key, digest)) is not None:
            raise error_of(status)

    def unserved(self, key: str, digest: str) -> Status | None:
        """UNAVAILABLE if no worker has served "name@version" with this digest for a while, and Redis would say so."""
        if not self.healthy or (key, digest) in self.snapshot.served:
            return None
        text = f"no worker has served {key} with digest {digest[:19]} for {self._grace:g} s"
        return retry_later(Code.UNAVAILABLE, text, Reason.NO_WORKER, RETRY_NO_WORKER_S)

    async def _refresh(self) -> None:
        self._asked = time.monotonic()
        try:
            alive = await live_workers(self._redis, self.clock)
            await self._parse(digest for status in alive.statuses for digest in status.models.values())
            self._failure = None
        except Exception as error:
            self._failure = error
            raise
        self.snapshot = self._snapshot(alive)

    async def _parse(self, digests: Iterable[str]) -> None:
        now = time.monotonic()
        self._refused = {digest: until for digest, until in self._refused.items() if until > now}
        for digest in sorted(set(digests) - self._parsed.keys() - self._refused.keys()):
            try:
                self._parsed[digest] = await self._described(digest)
                self._names[digest] = category_names(self._parsed[digest])
            except ValueError as error:
                self._refused[digest] = now + REFUSED_S
                log.warning("A worker serves %r, but its description in %s %s", digest[:80], MODELS_KEY, error)

    async def _described(self, digest: str) -> Model:
        """The model as its worker described it. Raises ValueError; what is too large is not even fetched."""
        size = await self._redis.execute("HSTRLEN", MODELS_KEY, digest)
        if not 0 < size <= MAX_MANIFEST:
            raise ValueError(f"has {size} bytes, not 1 to {MAX_MANIFEST}")
        text = await self._redis.execute("HGET", MODELS_KEY, digest)
        model = await asyncio.to_thread(parse_description, text or b"")  # a second for the largest
        if model.digest != digest:
            raise ValueError(f"is of {model.digest[:80]!r}")
        return model

    def _forget(self, served: Collection[str]) -> None:
        """Descriptions of models that are not served any more: who serves one again describes it again."""
        for digest in self._parsed.keys() - served:
            del self._parsed[digest], self._names[digest]

    def _tell(self, digest: str, directions: Mapping[str, float]) -> None:
        """Which directions a model has is in no model.json."""
        model = self._parsed.get(digest)
        if model is not None and not model.directions:
            model.directions.extend(Direction(name=name, strength=strength) for name, strength in directions.items())

    def _snapshot(self, alive: LiveWorkers) -> Snapshot:
        statuses, unloaded = alive.statuses, alive.control.unloaded
        served = Counter(each for status in statuses for each in status.models.items() if each[1] in self._parsed)
        names = Counter(
            name for s in statuses for name in {key.partition("@")[0] for key in s.models.keys() - unloaded.keys()}
        )
        now = time.monotonic()
        live = {}
        # Where workers differ about a version, the digest that most of them serve comes last and stays.
        for (key, digest), count in sorted(served.items(), key=lambda item: (item[1], item[0])):
            self._seen[key, digest] = now
            self._current[key], live[key] = digest, count
        for digest, directions in _directions(statuses).items():
            self._tell(digest, directions)
        self._seen = {model: seen for model, seen in self._seen.items() if now - seen <= self._grace}
        self._forget({digest for _, digest in self._seen})
        self._current = {key: digest for key, digest in self._current.items() if (key, digest) in self._seen}
        return Snapshot(
            models={key: self._parsed[digest] for key, digest in self._current.items() if key not in unloaded},
            live={key: count for key, count in live.items() if key not in unloaded},
            served=frozenset(self._seen),
            names=names,
            workers=len(statuses),
            jobs_per_second=sum(status.jobs_per_second for status in statuses),
            rates=_rates(statuses),
            rated=Counter(d for s in statuses if s.images_per_second > 0 for d in set(s.models.values())),
            terms=_common(statuses),
            indexed=frozenset().union(*(s.indexed for s in statuses)).difference(*map(_unindexed, statuses)),
            memory_percent=alive.memory_percent,
            control=alive.control,
            worker_names=frozenset(status.name for status in statuses),
        )


def _directions(statuses: Iterable[WorkerStatus]) -> dict[str, Mapping[str, float]]:
    """Of each digest, its directions, as far as a worker says them; the bundle's files are the same everywhere."""
    return {digest: of for status in statuses for digest, of in status.directions.items() if of}


def _common(statuses: Iterable[WorkerStatus]) -> dict[str, frozenset[str]]:
    """Of each digest, the terms of a job that all workers know who serve it."""
    common: dict[str, frozenset[str]] = {}
    for status in statuses:
        for digest in set(status.models.values()):
            common[digest] = common.get(digest, frozenset(status.terms)) & frozenset(status.terms)
    return common


def _unindexed(status: WorkerStatus) -> set[str]:
    """Digests that a worker serves and does not compare with training pictures."""
    return set(status.models.values()) - set(status.indexed)


def _rates(statuses: Iterable[WorkerStatus]) -> dict[str, float]:
    rates: Counter[str] = Counter()
    for status in statuses:
        for digest in set(status.models.values()):
            rates[digest] += status.images_per_second  # type: ignore[assignment]  # a Counter counts in floats, too
    return dict(rates)
