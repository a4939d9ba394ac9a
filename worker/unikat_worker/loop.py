"""Continuous batching: take jobs, deal batches to lanes, publish what they draw, settle what is complete."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import islice
from queue import Empty
from typing import Final

from rq import Queue

from unikat.queue.stream import stream_key
from unikat_worker.active import ActiveJob, Batch, Ending, Rota
from unikat_worker.batches.desk import Desk
from unikat_worker.batches.writers import Written
from unikat_worker.drawing import Artist
from unikat_worker.exchange import Exchange
from unikat_worker.fetcher import Fetcher
from unikat_worker.intake import Intake, Refused, is_late
from unikat_worker.lanes import Done, Lanes
from unikat_worker.settings import Settings
from unikat_worker.settlement import Settlement
from unikat_worker.state import Event, State
from unikat_worker.stream import AWAY, Stream, deadline_status, end_stream, failed_status, stopped_status

_LOOK_AGAIN: Final = 0.1  # seconds after which it is asked whether the stream of a waiting job is still open
_HELPS: Final = 1.2  # times faster an image must be in a large batch for a small one to wait
_WAIT: Final = 1.0  # seconds after which the loop looks around without a reason
_BACKOFF: Final = (0.05, 1.0)  # seconds: first and longest pause after a lost connection
_LAST_FILES: Final = 5.0  # seconds in which a leaving worker finishes the files that it writes
_GOODBYE: Final = 8.0  # seconds in which a leaving worker tries to reach Redis

log = logging.getLogger(__name__)


class Loop:
    """The worker's own thread. Other threads reach it by `state`."""

    def __init__(
        self, queue: Queue, settings: Settings, artist: Artist, settlement: Settlement, state: State, desk: Desk
    ) -> None:
        """`desk` has what is drawn behind everything else: batches."""
        self._redis = queue.connection
        self._settings = settings
        self._artist = artist
        self._settlement = settlement
        self._state = state
        self._desk = desk
        self._rota = Rota()
        self._ended: list[ActiveJob] = []
        self._stale: set[ActiveJob] = set()  # their streams hold more than was known: to be read again
        self._stream = Stream(settings.result_ttl_s, refused=self._stale.add)
        self._intake = Intake(queue, settlement, self._stream)
        self._limit = artist.limit("")  # images in a batch, as it was last cut
        self._pause = _BACKOFF[0]
        self._together = 1.0  # moving average of jobs in a batch
        self.lanes = Lanes(artist.device.lanes, artist.draw, state.inbox.put)
        self._fetcher = Fetcher(queue, state.inbox.put)

    def run(self) -> None:
        """Until the state says to stop; then the batches in the lanes are finished and the rest is given back."""
        while not self._state.stopping:
            if self._reach_redis(self._turn):
                self._wait(_WAIT)
        self._fetcher.stop()
        self._desk.withdraw(self.lanes)
        while self.lanes.idle < self.lanes.count:
            self._wait(_WAIT)
        until = time.monotonic() + _GOODBYE
        while not self._reach_redis(self._leave) and time.monotonic() < until:
            pass
        written_by = time.monotonic() + _LAST_FILES
        while self._desk.is_writing and time.monotonic() < written_by:
            if self._reach_redis(self._desk.turn):
                self._wait(written_by - time.monotonic())
        while not self._reach_redis(self._desk.leave) and time.monotonic() < until:
            pass
        self.lanes.stop()

    def _turn(self) -> None:
        self._publish()
        self._take()
        self._linger()
        self._deal()
        self._settle()
        self._desk.turn()

    def _publish(self) -> None:
        """One round trip: images, ends of streams, and the next jobs from the queue."""
        exchange = Exchange(self._redis)
        published = sum(self._stream.publish(exchange, job) for job in self._rota)
        self._ask_for_ends(exchange)
        self._desk.look(exchange)
        if len(exchange):
            self._intake.drain(exchange, self._room())
        exchange.execute()
        self._state.rates.count(images=published)
        self._collect()

    def _ask_for_ends(self, exchange: Exchange) -> None:
        """Jobs whose turn is near and whose stream has been out of sight: are they still wanted?"""
        moment = time.monotonic()
        near = (job for job in self._rota if job.remaining and not job.due())
        for job in islice(near, self.lanes.idle * self._limit):
            if moment - job.seen_at > _LOOK_AGAIN:
                self._stream.look_for_end(exchange, job)

    def _room(self) -> int:
        """Jobs to take. Only as many as soon have their turn: other workers want some too."""
        if self._state.suspended or self._state.stopping:
            return 0
        return min(self._settings.max_jobs - len(self._rota), self.lanes.count * self._limit - self._rota.fresh)

    def _take(self) -> None:
        for job in self._intake.take(self._stale, self._room()):
            self._rota.add(job)
        exchange = Exchange(self._redis)
        stops = set(self._state.stops)  # RQ's thread may add one at any moment
        for job in self._rota:
            if job.ending is None and is_late(job):
                self._stream.close(exchange, job, deadline_status(job.rq.id), Ending.CANCELLED)
            elif job.ending is None and job.rq.id in stops:
                self._stream.close(exchange, job, stopped_status(job.rq.id), Ending.STOPPED)
        exchange.execute()
        if stops:
            self._desk.stop_jobs(stops)
        self._state.stops.difference_update(stops)
        self._collect()

    def _collect(self) -> None:
        """Jobs that have ended leave the rota."""
        for job in self._rota:
            if job.ending is None and job.execution.id in self._state.lost:
                job.ending = Ending.LOST
            if job.ending is not None:
                self._rota.remove(job)
                self._ended.append(job)
        self._state.rates.set_busy(len(self._rota) > 0)

    def _linger(self) -> None:
        """Wait a moment for more, where requests have been coming together and a larger batch is faster."""
        jobs = list(self._rota)
        if not jobs or self._together < 1.5 or self.lanes.idle < self.lanes.count:
            return
        if self._artist.gain(jobs[0].draw.digest) < _HELPS:
            return
        until = time.monotonic() + self._settings.max_delay_ms / 1000
        while (left := until - time.monotonic()) > 0 and sum(job.remaining for job in self._rota) < self._limit:
            self._wait(left)
            self._take()

    def _deal(self) -> None:
        while self.lanes.idle and not self._state.stopping:
            spread = 1 if self._artist.device.is_cuda else self.lanes.idle  # a GPU draws one batch at a time anyway
            batch = self._rota.compose(self._artist.limit, spread, idle=self.lanes.idle == self.lanes.count)
            if batch is None:
                break
            self._limit = self._artist.limit(batch.digest)
            self._together += 0.2 * (len(batch.shares) - self._together)
            self.lanes.submit(batch)
        if not self._state.stopping:
            self._desk.deal(self.lanes, others_wait=any(job.remaining for job in self._rota))

    def _settle(self) -> None:
        """Tell RQ, while the lanes draw: jobs that were begun, that ended, and those that cannot be drawn."""
        exchange = Exchange(self._redis)
        for job in self._rota:
            if not job.prepared:
                self._settlement.begin(exchange, job)
        for job_id in self._intake.void:
            self._settlement.forget(exchange, job_id)
        while self._intake.refused:
            self._refuse(exchange, self._intake.refused[-1])
            self._intake.refused.pop()
        finished = [job for job in self._ended if job.ending is Ending.FINISHED]
        for job in finished:
            self._settlement.settle(exchange, job)
        exchange.execute()
        self._intake.void.clear()
        self._ended = [job for job in self._ended if job.ending is not Ending.FINISHED]
        self._state.rates.count(jobs=len(finished))
        while self._ended:  # rare, and several round trips each; out of the list only when it is done
            self._end(self._ended[-1])
            self._ended.pop()

    def _refuse(self, exchange: Exchange, refused: Refused) -> None:
        job = refused.job
        log.error("job %s is refused: %s", job.id, refused)
        end_stream(self._redis, stream_key(job.id), failed_status(job.id, refused), self._settings.result_ttl_s)
        self._settlement.refuse(job, refused)
        self._settlement.forget(exchange, job.id)

    def _end(self, job: ActiveJob) -> None:
        if job.error is not None and not job.rq.should_retry:
            # First the caller, then RQ: after a crash in between, the next worker finds the stream ended.
            status = failed_status(job.rq.id, job.error)
            end_stream(self._redis, job.key, status, self._settings.result_ttl_s)
        elif job.error is None:
            job.rq.retries_left = None  # its stream is closed: another try could tell nobody
        exchange = Exchange(self._redis)
        if not job.prepared:
            self._settlement.forget(exchange, job.rq.id)
        self._settlement.settle(exchange, job)
        exchange.execute()

    def _wait(self, seconds: float) -> None:
        """Until something happens; not at all where something is left to do."""
        free = self.lanes.idle > 0 or self._desk.is_drawing  # lanes that draw for a batch are free for others soon
        self._fetcher.want(free and self._room() > 0)
        seconds = max(0.0, min(seconds, self._desk.next_at - time.monotonic()))
        try:
            event = self._state.inbox.get(timeout=0.0 if self._has_work() else seconds)
            while True:
                self._take_in(event)
                event = self._state.inbox.get_nowait()
        except Empty:
            pass

    def _has_work(self) -> bool:
        open_jobs = [job for job in self._rota if job.ending is None]
        complete = any(job.due() or job.published == job.draw.count for job in open_jobs)
        waiting = any(job.remaining for job in open_jobs)
        dealable = self.lanes.idle > 0 if waiting else self._desk.can_deal(self.lanes)
        due = complete or dealable or self._stale or self._ended or self._desk.has_news
        return not self._state.stopping and bool(due)

    def _take_in(self, event: Event) -> None:
        if isinstance(event, str):
            self._intake.deliver(event)
        elif isinstance(event, Written):
            self._desk.take_written(event)
        elif event is not None:
            self.lanes.release()
            if isinstance(event.batch, Batch):
                self._take_drawings(event, event.batch)
            else:
                self._desk.take_drawings(event, event.batch)

    def _take_drawings(self, done: Done, batch: Batch) -> None:
        for job, indices in batch.shares:
            job.in_flight -= 1
            if done.error is None or job.ending is not None:
                continue
            if len(batch.shares) == 1:
                job.error, job.ending = done.error, Ending.FAILED
            else:
                # One of them is the cause; each is tried again in batches of its own.
                job.give_back(indices)
        for drawing in done.drawings:
            if drawing.job.ending is None and drawing.index >= drawing.job.published:
                drawing.job.ready[drawing.index] = drawing.response

    def _leave(self) -> None:
        """Publish what is drawn; what is unfinished goes back to the front of the queue, in its order."""
        self._publish()
        self._settle()
        with self._redis.pipeline(transaction=False) as pipeline:
            for job in reversed(list(self._rota)):
                self._settlement.give_back(pipeline, job)
                log.info("job %s goes back to the queue after image %d", job.rq.id, job.published)
            pipeline.execute()
        for job in self._rota:
            self._rota.remove(job)
        self._intake.put_back()

    def _reach_redis(self, act: Callable[[], None]) -> bool:
        """`act`, or a pause if the connection is lost; everything that was not confirmed is done again."""
        try:
            act()
        except AWAY as error:
            log.warning("Redis does not answer, next try in %.2f s: %s", self._pause, error)
            time.sleep(self._pause)
            self._pause = min(2 * self._pause, _BACKOFF[1])
            return False
        self._pause = _BACKOFF[0]
        return True
