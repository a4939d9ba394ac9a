"""What writers do: a shard to its files, a batch to its manifest.

Arrow is loaded with the first file: a worker that draws for people only starts faster and is smaller without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from redis import Redis

from unikat.batches.record import CANCELLED, ENDED, HEAD
from unikat.batches.storage import DestinationError, DestinationRefused
from unikat.queue.batches.jobs import NoSuchBatch
from unikat.queue.batches.keys import batch_key, done_key
from unikat.queue.batches.store import BatchStore
from unikat.queue.clock import redis_time
from unikat_worker.active import ActiveClose, ActiveShard, OfBatch
from unikat_worker.batches.places import Places
from unikat_worker.device import Device

_PATIENCE: Final = 60.0  # seconds for which a cancelled batch waits for its destination to get its manifest


class ShardsGone(Exception):
    """Shards that count as written are not there any more."""

    def __init__(self, shards: Sequence[int]) -> None:
        super().__init__(f"{len(shards)} shards that were written are gone")
        self.shards = shards


class CalledOff(Exception):
    """The batch was cancelled, or has ended: no file of it is begun any more."""


class Files:
    """Writes items. Called by the writers' threads."""

    def __init__(self, redis: Redis, places: Places, device: Device) -> None:
        self._store = BatchStore(redis)
        self._places = places
        self._device = device

    def write(self, item: OfBatch) -> None:
        """Raises DestinationError, DestinationRefused, ShardsGone, CalledOff, RedisError, and what is wrong with it."""
        if isinstance(item, ActiveShard):
            self._write_shard(item)
        elif isinstance(item, ActiveClose):
            with suppress(NoSuchBatch):  # deleted: another job of this id had ended it
                item.manifest = self._close(item)

    def _write_shard(self, item: ActiveShard) -> None:
        from unikat.batches.shards import Renderer, write_shard

        with self._store.redis.pipeline(transaction=False) as pipe:
            pipe.hmget(batch_key(item.batch), HEAD, CANCELLED, ENDED)
            pipe.bitcount(done_key(item.batch))
            (head, *ends), written = pipe.execute()
        if head is None or any(end is not None for end in ends):
            raise CalledOff
        storage = self._places.open(item)
        of = self._device
        renderer = Renderer(provider=of.provider, runtime=of.runtime, processor=of.processor)
        credentials = self._places.sign(item, renderer)
        write_shard(storage, item.job, item.drawn, renderer, begun=written > 0, credentials=credentials)

    def _close(self, item: ActiveClose) -> str:
        from unikat.batches.shards import LostShards, close_batch

        spec, record = self._store.spec(item.batch), self._store.read(item.batch)
        if record.has_ended or record.round != item.round:
            return ""
        done = self._store.written(record)
        keep_parts = bool(record.failed) and not record.is_cancelled  # for the retry
        try:
            return close_batch(self._places.open(item), spec, done, keep_parts)
        except LostShards as lost:
            raise ShardsGone(lost.shards) from lost
        except (DestinationError, DestinationRefused):
            if done and not is_given_up(record.fields.get(CANCELLED), redis_time(self._store.redis)):
                raise
            return ""


def is_given_up(cancelled: str | bytes | None, moment: float) -> bool:
    """Whether a batch was called off so long ago that its end waits no longer: its folder may never come back.

    `moment` is Redis' time (s).
    """
    return cancelled is not None and moment - float(cancelled) > _PATIENCE
