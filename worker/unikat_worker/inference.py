"""Inference threads. Each is its own loop: it publishes what is ready, takes jobs, draws what the scheduler composes.

All that a turn has for Redis goes out in one write on the thread's own connection: the images of the last batch, and,
where nothing is left to draw, a wait for jobs and taking them. No thread hands anything to another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from unikat.queue.draws import mark_tried, publish, published, take, taken, wait, wake
from unikat.queue.link import Link
from unikat.queue.scripts import Command
from unikat_worker.active import ActiveJob, Batch
from unikat_worker.admission import admit
from unikat_worker.catalogue import UnknownModel
from unikat_worker.executor import Executor
from unikat_worker.publication import publication, take_in
from unikat_worker.scheduler import Scheduler, Turn
from unikat_worker.settings import Settings
from unikat_worker.settlement import Settler
from unikat_worker.state import State

_WAIT: Final = 1.0  # seconds after which a thread looks around without a reason: RQ's own retries ring no bell
_BACKOFF: Final = (0.05, 1.0)  # seconds: first and longest pause after a lost connection
_HELPS: Final = 1.2  # times faster an image must be in a large batch for a small one to wait
_QUICK: Final = 0.3  # seconds that a batch may take for answers of Redis to be read after it is drawn

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """What all inference threads of a worker have in common."""

    redis: Redis
    name: str
    settings: Settings
    scheduler: Scheduler
    executor: Executor
    settler: Settler
    state: State
    models: Callable[[], list[str]]


@dataclass(frozen=True)
class Sent:
    """What was sent to Redis and not answered: `turn`'s publications, its wait, and a take."""

    turn: Turn
    takes: bool


class InferenceThread:
    """One thread; `run` is its loop."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._scheduler = shared.scheduler
        self.link = Link(shared.redis)
        self._pause = _BACKOFF[0]
        self._sent: Sent | None = None
        self.begun: float | None = None  # when the batch that it draws was begun

    def run(self) -> None:
        """Until the scheduler stops."""
        while not self._scheduler.stopping:
            try:
                self._turn()
                self._pause = _BACKOFF[0]
            except RedisError as error:
                self._drop()
                log.warning("waiting for Redis, next try in %.2f s: %s", self._pause, error)
                time.sleep(self._pause)
                self._pause = min(2 * self._pause, _BACKOFF[1])
        try:
            self._receive()
        except RedisError as error:
            log.warning("jobs that were just taken are left to others: %s", error)
        self._drop()

    def flush(self) -> None:
        """Publish what is ready and settle what has ended, when no thread draws any more. Raises RedisError."""
        while True:
            self._exchange()
            self._settle()
            if not any(job.published in job.ready for job in self._scheduler.jobs):
                return

    def _turn(self) -> None:
        self._receive()
        turn = self._scheduler.turn(self._shared.state.clock.now())
        self._send(turn)
        if not self._scheduler.may_draw(turn):
            self._receive()
        self._settle()
        self._linger()
        if self._sent is not None and self._is_slow():
            self._receive()
        batch = self._scheduler.compose()  # from here on nothing may be raised that loses it
        if batch is None:
            if self._sent is None and not (turn.waits or turn.jobs):
                self._scheduler.idle(_WAIT)
            return
        if self._scheduler.needs_the_waiting():
            with suppress(RedisError):  # a full Redis refuses this; the other thread looks around within a second
                wake(self._shared.redis, self._shared.name)
        self._draw(batch)

    def _is_slow(self) -> bool:
        """Whether an image may take so long that what was sent must be answered before it is drawn."""
        digests = {job.draw.digest for job in self._scheduler.jobs}
        return any(self._shared.executor.seconds(digest, 1) > _QUICK for digest in digests)

    def _exchange(self) -> None:
        """One round trip."""
        self._receive()
        self._send(self._scheduler.turn(self._shared.state.clock.now()))
        self._receive()

    def _send(self, turn: Turn) -> None:
        """In one write: images and ends of streams, a wait for jobs, and the next jobs."""
        try:
            commands: list[Command] = []
            if turn.jobs:
                publications = [publication(job) for job in turn.jobs]
                commands.append(publish(self._shared.name, publications, self._shared.settings.result_ttl_s))
            models = self._shared.models() if turn.room > 0 or turn.waits else []
            if turn.waits:
                commands.append(wait(models, self._shared.name, _WAIT))
            if turn.room > 0:
                commands.append(take(self._shared.name, models, turn.room))
            if commands:
                self.link.send(commands)
        except BaseException:
            self._scheduler.back(turn)
            raise
        if commands:
            self._sent = Sent(turn, turn.room > 0)
        else:
            self._scheduler.back(turn)

    def _receive(self) -> None:
        """Take in what Redis answered to what was sent."""
        sent, self._sent = self._sent, None
        if sent is None:
            return
        try:
            if sent.turn.jobs:
                self._take_in_published(sent.turn.jobs)
            if sent.turn.waits:
                self.link.receive()
            if sent.takes:
                self._take_in_jobs()
        finally:
            self._scheduler.back(sent.turn)

    def _drop(self) -> None:
        """Give the connection up: what was sent and not answered is done again, if it was not done."""
        self.link.close()
        if self._sent is not None:
            self._scheduler.back(self._sent.turn)
            self._sent = None

    def _take_in_jobs(self) -> None:
        state = self._shared.state
        clock, self._scheduler.backlog, jobs = taken(self.link.receive())
        state.clock.set(clock)
        if not jobs:
            return
        state.rates.set_busy(True)
        for job in jobs:
            state.executions[job.execution] = job.member
        self._scheduler.add([admit(job) for job in jobs])

    def _take_in_published(self, jobs: list[ActiveJob]) -> None:
        images, observers = 0, self._shared.state.observers
        for job, reply in zip(jobs, published(self.link.receive()), strict=True):
            before = job.published
            done = take_in(self._scheduler, job, reply)
            if (more := job.published - before) > 0:
                images += more
                for each in observers:
                    each.published(job, more)
            if done:
                self._shared.state.executions.pop(job.taken.execution, None)
                self._shared.state.rates.count(jobs=1)
                if job.times:  # drawn here
                    self._shared.state.rates.finished((*job.times, job.elapsed))
                for each in observers:
                    each.ended(job)
        self._shared.state.rates.count(images=images)
        if not self._scheduler.jobs:
            self._shared.state.rates.set_busy(False)

    def _settle(self) -> None:
        """Tell RQ of jobs that have ended otherwise than by being published whole."""
        while (job := self._scheduler.next_ended()) is not None:
            try:
                self._shared.settler.settle(job)
            except RedisError:
                self._scheduler.settle_later(job)
                raise
            self._shared.state.executions.pop(job.taken.execution, None)
            for each in self._shared.state.observers:
                each.ended(job)

    def _linger(self) -> None:
        """Wait a moment for more, where requests have been coming together and a larger batch is faster."""
        scheduler, executor = self._scheduler, self._shared.executor
        jobs = scheduler.jobs
        if not jobs or scheduler.together < 1.5 or executor.gain(jobs[0].draw.digest) < _HELPS:
            return
        until = time.monotonic() + self._shared.settings.max_delay_ms / 1000
        while (left := until - time.monotonic()) > 0 and scheduler.missing() > 0:
            time.sleep(min(left, 0.0005))
            self._exchange()

    def _draw(self, batch: Batch) -> None:
        for job, _ in batch.shares:
            if job.suspect:
                with suppress(RedisError):  # without it, a death counts as one in company
                    mark_tried(self._shared.redis, job.taken.member)
        self.begun, observers = time.monotonic(), self._shared.state.observers
        try:
            drawn = self._shared.executor.draw(batch)
        except Exception as error:  # whatever a job can provoke must not end the thread; it ends the job
            for each in observers:
                each.failed(batch, error)
            if isinstance(error, UnknownModel) and isinstance(batch.shares[0][0], ActiveJob):
                self._scheduler.returned(batch)
            else:
                self._scheduler.failed(batch, error)
        else:
            for each in observers:
                each.drawn(batch, drawn)
            self._scheduler.drawn(batch, drawn.images)
        finally:
            self.begun = None


def start(shared: Shared, count: int) -> tuple[list[InferenceThread], list[threading.Thread]]:
    """Start `count` threads."""
    loops = [InferenceThread(shared) for _ in range(count)]
    threads = [
        threading.Thread(target=loop.run, name=f"inference-{number}", daemon=True) for number, loop in enumerate(loops)
    ]
    for thread in threads:
        thread.start()
    return loops, threads
