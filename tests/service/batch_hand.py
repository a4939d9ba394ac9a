"""A worker's side of batches, worked by hand: shards are taken and settled as a worker would, when a test says."""

from __future__ import annotations

# RQ annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

from redis import Redis
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, FinishedJobRegistry
from rq.serializers import JSONSerializer

from unikat.batches.record import REVISION, STARTED
from unikat.batches.spec import BatchSpec, Cell, ShardJob
from unikat.queue.batches.jobs import batch_queue
from unikat.queue.batches.keys import batch_key, close_job_id, shard_of
from unikat.queue.batches.progress import BatchProgress, TakenOfBatch
from unikat.queue.draws import Completion, Taken
from unikat.queue.server import PROBE_KEY

T = TypeVar("T")

THREADS = 8


def spec_of(
    destination: str, *counts: int, shard_size: int = 4, owner: str = "default", request_id: str = ""
) -> BatchSpec:
    """A batch of the tiny model with a cell for each count."""
    cells = tuple(Cell({"style": {"ink": 1.0}}, count) for count in counts)
    return BatchSpec(
        model="tiny@1", digest="sha256:0", cells=cells, seed=7, truncation=0.5, image_format=1, layout=1,
        destination=f"file:///out/{destination}", shard_size=shard_size, owner=owner, request_id=request_id,
    )  # fmt: skip


@dataclass
class BatchHand:
    """Takes shards, writes nothing, and settles them."""

    redis: Redis

    def __post_init__(self) -> None:
        self.progress = BatchProgress(self.redis)
        self.store = self.progress.store
        self._taken: dict[str, TakenOfBatch] = {}

    def queued(self, batch: str) -> list[str]:
        """Ids of the jobs that wait in a batch's queue."""
        return [job.decode() for job in cast(list[bytes], self.redis.lrange(batch_queue(self.redis, batch).key, 0, -1))]

    def shards(self, batch: str) -> list[ShardJob]:
        """The shards that wait, as a worker that takes them sees them."""
        spec = self.store.spec(batch)
        shards = [shard_of(batch, job) for job in self.queued(batch)]
        return [spec.shard_job(batch, shard) for shard in shards if shard is not None]

    def take(self, *left_out: str) -> tuple[str, str] | None:
        """(batch, job) of the next shard, which is begun."""
        found = self.progress.take("hand", left_out)
        if found is None:
            return None
        self._taken[found.job.id] = found
        return found.batch, found.job.id

    def begin(self, batch: str) -> None:
        """A worker has taken a first shard, which nobody sees."""
        self.redis.hsetnx(batch_key(batch), STARTED, str(time.time()))
        self.touch(batch)

    def take_shard(self) -> ShardJob:
        """The next shard."""
        taken = self.take()
        assert taken is not None, "no shard waits"
        job = Job.fetch(taken[1], connection=self.redis, serializer=JSONSerializer)
        return ShardJob.from_kwargs(job.kwargs)

    def write(self, shard: ShardJob) -> None:
        """A shard is in its files, and RQ knows."""
        self.written(shard.batch, shard.shard, shard.count)
        self._settle(shard, JobStatus.FINISHED)

    def written(self, batch: str, shard: int, images: int) -> None:
        """A shard is in its files. One that was not taken here is told by a worker that was given up meanwhile."""
        id = f"b-{batch}-{shard:05}"
        job = Taken(id, batch_queue(self.redis, batch).name, "gone", b"", b"", b"", 1, 0, 0, -1, 600, 0, 0.0)
        gone = TakenOfBatch(job, batch, b"", 0, 0, b"", has_ended=False, written=0, is_written=False)
        self.progress.finish("hand", self._taken.get(id, gone), images, Completion("", 0.0, 600))

    def fail(self, shard: ShardJob, why: str = "it cannot be drawn") -> None:
        """A shard failed for good."""
        self._settle(shard, JobStatus.FAILED)
        self.progress.mark_failed(self.redis, shard.batch, shard.shard, why)
        self.progress.close_if_settled(shard.batch)

    def close(self, batch: str) -> None:
        """The close job that waits writes its manifest."""
        job_id = close_job_id(batch, self.store.read(batch).round)
        assert self.redis.lrem(batch_queue(self.redis, batch).key, 1, job_id) == 1, "no close job waits"
        self.redis.delete(Job.key_for(job_id))
        self.store.drop(batch)  # ids of shards that were written without being taken
        record = self.store.read(batch)
        assert self.progress.end(batch, record.round, record.head["destination"] + "/manifest.parquet")

    def finish(self, batch: str, fail: tuple[int, ...] = ()) -> None:
        """Draw all that waits of a batch; the shards of `fail` fail."""
        self.begin(batch)
        for shard in self.shards(batch):
            self.redis.lrem(batch_queue(self.redis, batch).key, 1, f"b-{batch}-{shard.shard:05}")
            if shard.shard in fail:
                self.fail(shard)
            else:
                self.write(shard)
        self.close(batch)

    def touch(self, batch: str) -> int:
        """Some change; its revision."""
        return self.redis.hincrby(batch_key(batch), REVISION, 1)

    def _settle(self, shard: ShardJob, status: JobStatus) -> None:
        id = f"b-{shard.batch}-{shard.shard:05}"
        self.redis.hset(Job.key_for(id), "status", status.value)
        queue = batch_queue(self.redis, shard.batch)
        if id in self._taken:
            self.redis.zrem(queue.started_job_registry.key, self._taken[id].job.member)
        registry: FinishedJobRegistry | FailedJobRegistry = queue.finished_job_registry
        if status == JobStatus.FAILED:
            registry = queue.failed_job_registry
        self.redis.zadd(registry.key, {id: time.time() + 600})


def keys_of(redis: Redis, batch: str) -> set[str]:
    """Every key that has a batch's id in its name."""
    found = {key.decode() for key in redis.scan_iter(f"*{batch}*")}
    return {key for key in found if not key.startswith(PROBE_KEY)}  # whose random name may have it, too


def at_once(work: Callable[[int], T]) -> list[T]:
    """`work(0)` to `work(7)`, begun at the same moment in threads."""
    barrier = threading.Barrier(THREADS)

    def begin(n: int) -> T:
        barrier.wait()
        return work(n)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(begin, range(THREADS)))
