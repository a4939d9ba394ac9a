"""What the inference threads of a worker draw next: jobs by turns, and shards of batches only when no job waits."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from unikat.batches.layout import DrawnImage
from unikat_worker.active import ActiveJob, ActiveShard, Batch, Drawable, Ending
from unikat_worker.drawing import Drawn

MOST_PUBLISHED: Final = 64  # images in one script call, a job's and those of all
_LOOK_AGAIN: Final = 0.1  # seconds after which it is asked whether the stream of a waiting job is still open
_WORK_S: Final = 30.0  # seconds of work of a thread, beyond which it takes only what it draws next
_STOPS: Final = 10.0  # seconds for which a job that is to be stopped may not have been heard of

D = TypeVar("D", bound=Drawable)


class Served:
    """Who was served last: the one who has waited longest is next, and who is new before all."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._count = 0

    def last(self, name: str) -> int:
        """A number that is the smaller, the longer a name has waited."""
        return self._last.get(name, -1)

    def note(self, names: Iterable[str], waiting: Iterable[str]) -> None:
        """`names` were served, in this order; forget all that are not among the `waiting`."""
        self._last = {name: self.last(name) for name in waiting}
        for name in names:
            self._last[name] = self._count
            self._count += 1


@dataclass(frozen=True)
class Turn:
    """What a thread is to do at Redis before it draws.

    `jobs` have images that are due, or are near their turn and were not looked at for a while; `room` is the number of
    jobs to take; `waits`: there is nothing else to do, so it may wait for them.
    """

    jobs: list[ActiveJob]
    room: int
    waits: bool


class Scheduler:
    """Shared by the inference threads and the batch thread."""

    def __init__(
        self,
        threads: int,
        max_jobs: int,
        limit: Callable[[str], int],
        seconds: Callable[[str], float],
        tell: Callable[[ActiveShard | None], None],
        *,
        one_at_a_time: bool,
    ) -> None:
        """`limit`: images in the largest batch of a model; `seconds`: what one image takes, about.

        `one_at_a_time`: a GPU draws one batch after the other. `tell` is called with a shard that is drawn or has
        ended, and with None when a batch was cut from one.
        """
        self._threads = threads
        self._max_jobs = max_jobs
        self._limit = limit
        self._seconds = seconds
        self._one_at_a_time = one_at_a_time
        self._news = threading.Condition()
        self._jobs: list[ActiveJob] = []  # in the order of their turns, among those of one caller
        self._callers = Served()  # with images of jobs
        self._ended: deque[ActiveJob] = deque()
        self._suspects: list[ActiveJob | ActiveShard] = []
        self._shards: list[ActiveShard] = []  # oldest first
        self._owners = Served()  # with batches of shards
        self._tell = tell
        self._stops: dict[str, float] = {}  # jobs that an operator stopped and that are not here, since when
        self._drawing = 0
        self._waiting = False  # a thread waits for Redis
        self._sleeping = 0  # threads that wait for others
        self._cut = limit("")  # images of the largest batch, as it was last composed
        self.backlog = False  # whether more jobs wait in Redis
        self.together = 1.0  # moving average of jobs in a batch
        self.suspended = False
        self.stopping = False

    @property
    def jobs(self) -> list[ActiveJob]:
        """All that are active."""
        with self._news:
            return list(self._jobs)

    @property
    def shards(self) -> list[ActiveShard]:
        """All that are not drawn and have not ended, oldest first."""
        with self._news:
            return list(self._shards)

    @property
    def waits(self) -> bool:
        """Whether a thread waits for Redis: what comes from inside has to wake it."""
        return self._waiting

    def turn(self, now: float) -> Turn:
        """What a thread does next; jobs whose images it is to publish are its own until `back`. `now`: Redis' time."""
        with self._news:
            for job in self._jobs:
                if job.draw.deadline is not None and job.draw.deadline < now:
                    self._end(job, Ending.CANCELLED)
            jobs, is_all = self._due()
            for job in jobs:
                job.publishing = True
            has_work = self._ended or not is_all or self._can_compose()
            # With images to publish it waits only where no other thread draws: one of those may finish the same job.
            waits = not (has_work or self._waiting or self.stopping or (jobs and self._drawing))
            self._waiting = self._waiting or waits
            return Turn(jobs, self._room(), waits)

    def back(self, turn: Turn) -> None:
        """The thread is through with what it had to do at Redis, or was prevented."""
        with self._news:
            for job in turn.jobs:
                job.publishing = False
            if turn.waits:
                self._waiting = False

    def add(self, jobs: Iterable[ActiveJob]) -> None:
        """New jobs; those that have an ending only have to be settled."""
        with self._news:
            for job in sorted(jobs, key=lambda job: job.suspect):
                if job.ending is None and self._was_stopped(job.id):
                    job.ending = Ending.STOPPED
                if job.ending is None:
                    self._jobs.insert(self._first_turn(job), job)
                else:
                    self._ended.append(job)
                self._suspects += [job] * job.suspect
            self._news.notify_all()

    def add_shard(self, shard: ActiveShard) -> None:
        """A shard is drawn when no job waits."""
        with self._news:
            self._shards.append(shard)
            self._suspects += [shard] * shard.suspect
            if self._was_stopped(shard.id):
                self._end(shard, Ending.STOPPED)
            self._news.notify_all()

    def end(self, job: ActiveJob | ActiveShard, ending: Ending) -> None:
        """A job has ended."""
        with self._news:
            self._end(job, ending)

    def finished(self, job: ActiveJob) -> None:
        """A job was published whole, and RQ knows."""
        with self._news:
            job.ending = Ending.FINISHED
            self._jobs.remove(job)

    def stop_job(self, job_id: str) -> None:
        """End a job because an operator wants it. One that Redis has given to this worker may be on its way here."""
        with self._news:
            for job in (*self._jobs, *self._shards):
                if job.id == job_id:
                    self._end(job, Ending.STOPPED)
                    return
            moment = time.monotonic()
            self._stops = {id: at for id, at in self._stops.items() if moment - at < _STOPS} | {job_id: moment}

    def observe(self, job: ActiveJob, published: int) -> None:
        """A job's stream holds so many images."""
        with self._news:
            job.advance(published)

    def next_ended(self) -> ActiveJob | None:
        """An ended job that is to be settled."""
        with self._news:
            return self._ended.popleft() if self._ended else None

    def settle_later(self, job: ActiveJob) -> None:
        """It could not be settled."""
        with self._news:
            self._ended.append(job)

    def compose(self) -> Batch | None:
        """The next batch; None if there is nothing to draw. `drawn` or `failed` is told what became of it."""
        with self._news:
            batch = None if self.stopping else self._compose() or self._cut_shard()
            self._drawing += batch is not None
            if batch is not None and self._can_compose():
                self._news.notify()
            return batch

    def drawn(self, batch: Batch, drawn: Sequence[Drawn] = ()) -> None:
        """A batch was drawn: for each image its job, its position in the job, and what its sink takes."""
        with self._news:
            self._drawing -= 1
            for job, _ in batch.shares:
                job.in_flight -= 1
            for job, position, result in drawn:
                if job.ending is not None:
                    continue
                if isinstance(job, ActiveShard) and isinstance(result, DrawnImage):
                    job.drawn.append(result)
                    if len(job.drawn) == job.count:
                        self._shards.remove(job)
                        job.suspect = False
                        self._tell(job)
                elif isinstance(job, ActiveJob) and isinstance(result, bytes) and position >= job.published:
                    job.keep(position, result)

    def failed(self, batch: Batch, error: Exception) -> None:
        """A batch could not be drawn. Where several jobs share it, each is tried again in batches of its own."""
        self.drawn(batch)
        with self._news:
            for job, positions in batch.shares:
                if job.ending is not None:
                    continue
                if len(batch.shares) == 1:
                    job.error = error
                    self._end(job, Ending.FAILED)
                else:
                    job.give_back(positions)

    def returned(self, batch: Batch) -> None:
        """This worker does not have the model of a batch: its jobs go back to their queues."""
        self.drawn(batch)
        with self._news:
            for job, _ in batch.shares:
                self._end(job, Ending.RETURNED)

    def idle(self, seconds: float) -> None:
        """Return when there may be something to do, at the latest after `seconds`."""
        with self._news:
            if not (self._ended or self.stopping or self._can_compose()):
                self._sleeping += 1
                self._news.wait(seconds)
                self._sleeping -= 1

    def needs_the_waiting(self) -> bool:
        """Whether there is work for one more thread, and only the one that waits for Redis is free."""
        with self._news:
            return self._can_compose() and self._waiting and not self._sleeping

    def may_draw(self, turn: Turn) -> bool:
        """Whether there is something to draw before Redis has answered to `turn`.

        Not while another thread may finish a job of the turn, whose images would wait for the answer.
        """
        with self._news:
            if turn.waits or any(job.in_flight or job.remaining for job in turn.jobs):
                return False
            return self._can_compose()

    def missing(self) -> int:
        """Images that a larger batch could have."""
        with self._news:
            return self._cut - sum(job.remaining for job in self._jobs)

    def is_hungry(self) -> bool:
        """Whether the threads will soon have drawn what there is of shards."""
        with self._news:
            limit = max((self._limit(shard.digest) for shard in self._shards), default=1)
            return sum(shard.remaining for shard in self._shards) < self._threads * limit

    def stop(self) -> None:
        """No batch is composed after this."""
        with self._news:
            self.stopping = True
            self._news.notify_all()

    def _can_compose(self) -> bool:
        return any(self._open(self._jobs)) or any(self._open(self._shards))

    def _open(self, jobs: Iterable[D]) -> Iterator[D]:
        """Jobs of which images can be drawn. Of those that workers died with, one at a time: it alone is to blame."""
        self._suspects = [job for job in self._suspects if job.suspect and job.ending is None]
        tried = next((job for job in self._suspects if job.is_begun), None)
        return (job for job in jobs if job.remaining and (tried in (None, job) or not job.suspect))

    def _first_turn(self, new: ActiveJob) -> int:
        """Where a new job is put: between the first that are not new, one of them before each new one of its caller.

        So one image does not wait for a turn of everything that is drawn.
        """
        if new.suspect:
            return len(self._jobs)
        caller = new.draw.caller
        same = [at for at, job in enumerate(self._jobs) if job.draw.caller == caller and not job.suspect]
        last = max((number for number, at in enumerate(same) if self._jobs[at].is_fresh), default=-1)
        return same[last + 2] if last + 2 < len(same) else len(self._jobs)

    def _room(self) -> int:
        """Jobs to take: as many as soon have their turn, while there is not work for long. Other workers want some too.

        Until then all are begun that wait, so that a call for one image does not wait for the end of large ones.
        """
        if self.suspended or self.stopping:
            return 0
        images: Counter[str] = Counter()
        for job in self._jobs:
            images[job.draw.digest] += job.remaining
        work = sum(count * self._seconds(digest) for digest, count in images.items() if count)
        held = sum(job.is_fresh or work > _WORK_S * self._threads for job in self._jobs)
        return max(0, min(self._max_jobs - len(self._jobs), self._threads * self._cut - held))

    def _due(self) -> tuple[list[ActiveJob], bool]:
        """Jobs of a turn, and whether there are no others: one script call has so many images, and takes below 5 ms."""
        due = [job for job in self._jobs if not job.publishing and (job.published in job.ready or job.is_complete)]
        jobs: list[ActiveJob] = []
        images = 0
        for job in due:
            images += min(len(job.ready), MOST_PUBLISHED)
            if jobs and images > MOST_PUBLISHED:
                return jobs, False
            jobs.append(job)
        return jobs + self._unseen(), True

    def _unseen(self) -> list[ActiveJob]:
        moment = time.monotonic()
        near = [job for job in self._jobs if job.remaining][: self._threads * self._cut]
        return [
            job for job in near
            if not job.publishing and job.published not in job.ready and moment - job.seen_at > _LOOK_AGAIN
        ]  # fmt: skip

    def _end(self, job: Drawable, ending: Ending) -> None:
        if job.ending is not None:
            return
        job.ending = ending
        if isinstance(job, ActiveShard):
            self._shards = [other for other in self._shards if other is not job]
            self._tell(job)
        elif isinstance(job, ActiveJob):
            self._jobs = [other for other in self._jobs if other is not job]
            self._ended.append(job)
            self._news.notify()

    def _was_stopped(self, job_id: str) -> bool:
        at = self._stops.pop(job_id, None)
        return at is not None and time.monotonic() - at < _STOPS

    def _cut_shard(self) -> Batch | None:
        """A batch of the oldest shard of the owner who has waited longest."""
        shards = list(self._open(self._shards))
        if not shards:
            return None
        shard = min(shards, key=lambda each: self._owners.last(each.owner))
        self._owners.note([shard.owner], (each.owner for each in shards))
        share = -(-sum(each.remaining for each in shards) // self._threads)
        size = min(self._limit(shard.digest), share, shard.remaining)
        self._tell(None)
        return Batch(shard.digest, [(shard, shard.take(size))], alone=False)

    def _compose(self) -> Batch | None:
        # Of the caller who has waited longest first.
        open_jobs = sorted(self._open(self._jobs), key=lambda job: self._callers.last(job.draw.caller))
        if not open_jobs:
            return None
        first = open_jobs[0]
        if first.suspect:  # the one that probably ends this worker comes last
            first = min((job for job in open_jobs if job.suspect), key=lambda job: job.taken.crashes)
        members = [first]
        if not first.solo:
            members = [job for job in open_jobs if job.draw.digest == first.draw.digest and not job.solo]
        available = sum(job.remaining for job in members)
        alone = self._drawing == 0 and available == 1 and len(open_jobs) == 1
        self._cut = self._limit(first.draw.digest)
        # With nothing behind them, jobs make a batch a core: those who got theirs ask again while the others are drawn.
        spread = self._threads - self._drawing if self.backlog else self._threads
        if self._one_at_a_time:
            spread = 1
        dealt = _deal(members, min(self._cut, -(-available // spread)))
        self._callers.note((job.draw.caller for job in dealt), (job.draw.caller for job in open_jobs))
        shares = [(job, job.take(count)) for job, count in Counter(dealt).items()]
        if len(self._jobs) > len(shares):
            served = dict(shares)
            self._jobs = [*(job for job in self._jobs if job not in served), *served]
        self.together += 0.2 * (len(shares) - self.together)
        return Batch(first.draw.digest, shares, alone)


def _deal(members: Sequence[ActiveJob], size: int) -> list[ActiveJob]:
    """Whose `size` images are: callers in turn, and the jobs of each in turn. The members want so many."""
    lines: dict[str, deque[ActiveJob]] = {}
    for job in members:
        lines.setdefault(job.draw.caller, deque()).append(job)
    left = {job: job.remaining for job in members}
    turns = deque(lines.values())
    dealt: list[ActiveJob] = []
    while len(dealt) < size:
        line = turns.popleft()
        job = line.popleft()
        dealt.append(job)
        left[job] -= 1
        if left[job]:
            line.append(job)
        if line:
            turns.append(line)
    return dealt
