"""Items on their way to their files: with a writer, held because the destination does not work, or about to close."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from unikat.batches.storage import DestinationError
from unikat.batches.storage_keys import NoKey
from unikat.queue.unready import PASSING
from unikat_worker.active import ActiveClose, Ending, OfBatch
from unikat_worker.batches.backoff import LONGEST_PAUSE, Backoff
from unikat_worker.batches.files import CalledOff, ShardsGone
from unikat_worker.batches.places import Places
from unikat_worker.batches.settlement import BatchSettler
from unikat_worker.batches.writers import Writers, Written

_LOOK: Final = 0.25  # seconds between looks whether the other jobs of a batch are through
_TOO_MANY_HANG: Final = "too many destinations do not answer for a worker to try one more; it tries again later"
_GRACE: Final = 5.0  # seconds by which others wait longer than this worker, which tries for all of them

log = logging.getLogger(__name__)


class WriteQueue:
    """Called by the loop's thread. `end` is called with every item that has got an ending."""

    def __init__(
        self,
        settler: BatchSettler,
        places: Places,
        write: Callable[[OfBatch], None],
        report: Callable[[Written], None],
        end: Callable[[OfBatch], None],
    ) -> None:
        """`write` and `report` are called by the writers' threads."""
        self._settler = settler
        self._end = end
        self._writers = Writers(places.writers, write, report)
        self._timeout_s = places.write_timeout_s
        # With a silent writer: when that is said again, on the monotonic clock.
        self._hanging: dict[OfBatch, float] = {}
        self._backoff = Backoff()
        self._writing: list[OfBatch] = []
        self._held: list[OfBatch] = []
        self._closes: list[ActiveClose] = []
        self._results: list[Written] = []

    def __iter__(self) -> Iterator[OfBatch]:
        return iter([*self._writing, *self._held, *self._closes])

    @property
    def writing(self) -> int:
        """Items that the writers have or will have, those of batches with a silent writer aside."""
        return self._writers.busy

    @property
    def silent(self) -> set[str]:
        """Batches of which no more is to be drawn for the time being: a writer waits for their destination."""
        return self._writers.silent_batches

    @property
    def next_at(self) -> float:
        """When `turn` has something to do, on the monotonic clock."""
        return min([self._backoff.next_at, *(close.look_at for close in self._closes)])

    @property
    def has_news(self) -> bool:
        """Whether `turn` has something to do now."""
        return bool(self._results) or self.next_at <= time.monotonic()

    def post(self, item: OfBatch) -> None:
        """Have an item written."""
        if item.batch not in self._backoff:
            if self._writers.refuses(item.batch):
                item.error = DestinationError(_TOO_MANY_HANG)  # this worker leaves the batch to others for a while
                self._finish(item, Ending.RETURNED)
            else:
                self._submit(item)
        elif self._backoff.has_room(item):
            self._hold(item)
        else:
            self._finish(item, Ending.RETURNED)

    def wait_to_close(self, close: ActiveClose) -> None:
        """Have a batch's manifest written once no other job of it is left."""
        self._closes.append(close)

    def deliver(self, written: Written) -> None:
        """A writer's report, to be looked at in the next turn."""
        self._writers.through(written)
        self._results.append(written)

    def drop(self, item: OfBatch, ending: Ending) -> None:
        """An item is not to be written any more, unless a writer has it, and is not silent: that decides then."""
        if item not in self._writing or item in self._hanging or self._writers.waits(item):
            self._finish(item, ending)

    def hurry(self, batch: str) -> None:
        """The destination of a batch seems to work again."""
        self._backoff.hurry(batch)

    def turn(self) -> None:
        """Take in what the writers did, and give them what is due. If it raises because Redis is away: once more."""
        while self._results:
            self._take_in(self._results[0])
            self._results.pop(0)
        for close in [close for close in self._closes if close.look_at <= time.monotonic()]:
            if self._settler.has_others(close):
                close.look_at = time.monotonic() + _LOOK
            else:
                self._closes.remove(close)
                self.post(close)
        for item in list(self._backoff.due()):
            self._held.remove(item)
            self._submit(item)
        for item in self._writers.silent(self._timeout_s):
            if item.ending is None and self._hanging.get(item, 0.0) <= time.monotonic():
                self._hang(item)
        self._writers.begin()  # a writer that has become silent left a place

    def _submit(self, item: OfBatch) -> None:
        self._writing.append(item)
        self._writers.submit(item)

    def _hold(self, item: OfBatch) -> None:
        self._backoff.hold(item)
        self._held.append(item)

    def _finish(self, item: OfBatch, ending: Ending) -> None:
        for items in (self._writing, self._held, self._closes):
            if item in items:
                items.remove(item)  # type: ignore[arg-type]  # an item that is in a list of ActiveClose is one
        self._writers.drop(item)
        self._backoff.forget(item)
        self._hanging.pop(item, None)
        item.ending = ending
        self._end(item)

    def _take_in(self, written: Written) -> None:
        item, error = written.item, written.error
        if item.ending is not None:  # it was given back meanwhile: this worker leaves
            return
        if error is None:
            self._take_in_success(item)
        elif isinstance(error, PASSING):  # Redis, which the writer asks what was written before
            self._writing.remove(item)
            self._submit(item)
        elif isinstance(error, NoKey):  # or another one of its name: who has the right one goes on
            item.error = error
            self._finish(item, Ending.RETURNED)
        elif isinstance(item, ActiveClose):
            self._take_in_close(item, error)
        elif isinstance(error, CalledOff):
            self._finish(item, Ending.CANCELLED)
        elif isinstance(error, DestinationError):
            self._pause(item, str(error))
        else:
            item.error = error
            self._finish(item, Ending.FAILED)

    def _take_in_success(self, item: OfBatch) -> None:
        others = [other for other in self._backoff.works(item.batch) if other in self._held]
        self._finish(item, Ending.FINISHED)
        for other in others:
            self._held.remove(other)
            self._submit(other)

    def _take_in_close(self, close: ActiveClose, error: Exception) -> None:
        if isinstance(error, ShardsGone):
            log.error("batch %s: %s; they are drawn again", close.batch, error, extra=close.fields)
            self._settler.reopen(close, error.shards)
            self._finish(close, Ending.LOST)
        else:
            reason = str(error) if isinstance(error, DestinationError) else f"{type(error).__name__}: {error}"
            self._pause(close, f"the manifest cannot be written: {reason}")

    def _pause(self, item: OfBatch, reason: str) -> None:
        seconds = self._backoff.pause_after(item)
        log.warning("batch %s pauses, next try in %.0f s: %s", item.batch, seconds, reason, extra=item.fields)
        if not self._settler.pause(item, reason, seconds + _GRACE):
            self._finish(item, Ending.CANCELLED)
            return
        self._hanging.pop(item, None)
        room = self._backoff.has_room(item)
        self._backoff.failed(item)
        if room:
            self._writing.remove(item)
            self._hold(item)
        else:
            self._finish(item, Ending.RETURNED)

    def _hang(self, item: OfBatch) -> None:
        """A destination does not answer: its batch pauses, and what this worker has of it waits for its writer.

        Nobody can end the writer. A batch that was called off does not wait for it.
        """
        reason = f"{item.destination} has not answered for {self._timeout_s:.0f} s"
        if not self._settler.pause(item, reason, LONGEST_PAUSE + _GRACE):
            self._finish(item, Ending.CANCELLED)
            return
        if isinstance(item, ActiveClose) and self._settler.is_given_up(item.batch):
            self._finish(item, Ending.FINISHED)
            return
        if item not in self._hanging:
            log.warning("batch %s pauses: %s", item.batch, reason, extra=item.fields)
        self._hanging[item] = time.monotonic() + LONGEST_PAUSE
        self._backoff.hang(item)
        for other in self._writers.withdraw(item.batch):
            self._writing.remove(other)
            if self._backoff.has_room(other):
                self._hold(other)
            else:
                self._finish(other, Ending.RETURNED)
