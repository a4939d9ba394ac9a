"""Spans of the jobs that a worker draws or closes, each in the trace of the call that wanted it.

Times are by Redis' clock, as those of jobs are.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer, set_span_in_context

from unikat.queue.clock import RedisClock
from unikat.trace_context import is_sampled
from unikat.traces import parent
from unikat_worker.active import ActiveJob, ActiveShard, Batch, Drawable, Ending, Item
from unikat_worker.drawing import DrawnBatch

_GOOD: Final = (Ending.FINISHED, Ending.CANCELLED, Ending.RETURNED)


class WorkerSpans:
    """Of a job: "wait" until it was taken, then "job" with its batches in it; of a batch: "draw" and "encode".

    "publish" is from the end of a job's last batch until Redis has its images. A batch is in the trace of every job
    that it has images of, with links to the jobs that it has others of. Of jobs of CreateBatch: "shard", in which
    "write" follows its batches, and "close", which writes the manifest.
    """

    def __init__(self, tracer: Tracer, clock: RedisClock) -> None:
        self._tracer = tracer
        self._clock = clock
        self._lock = Lock()  # inference threads make and end spans
        self._jobs: WeakKeyDictionary[Item, Span] = WeakKeyDictionary()
        self._drawn_at: WeakKeyDictionary[Item, float] = WeakKeyDictionary()

    def drawn(self, batch: Batch, drawn: DrawnBatch) -> None:
        """A batch was drawn: its images are ready to be published."""
        spans = [(job, len(own), span) for job, own in batch.shares if (span := self._span_of(job)) is not None]
        now, images = time.monotonic(), len(drawn.images)
        encoding = drawn.begun + drawn.drawn
        for job, own, span in spans if images else ():
            links = [Link(other.get_span_context()) for _, _, other in spans if other is not span]
            said = {"unikat.images": own, "unikat.batch_images": images}
            of = self._begin("batch", span, drawn.begun, links)
            of.set_attributes(said)
            self._begin("draw", of, drawn.begun).end(self._moment(encoding))
            self._begin("encode", of, encoding).end(self._moment(encoding + drawn.encoded * images))
            of.end(self._moment(now))
            with self._lock:
                self._drawn_at[job] = now

    def failed(self, batch: Batch, error: BaseException) -> None:
        """A batch could not be drawn."""
        for job, _ in batch.shares:
            if (span := self._span_of(job)) is not None:
                span.record_exception(error, timestamp=self._moment(time.monotonic()))

    def published(self, job: ActiveJob, images: int) -> None:
        """Redis has some more images of a job."""
        self._put("publish", job, images)

    def ended(self, item: Item) -> None:
        """A job has ended here, and Redis knows."""
        span = self._span_of(item)
        if span is None or item.ending is None:
            return
        if isinstance(item, ActiveShard) and item.ending is Ending.FINISHED:
            self._put("write", item, item.count)
        span.set_attribute("unikat.ending", item.ending.name.lower())
        if item.ending not in _GOOD:
            span.set_status(StatusCode.ERROR, str(item.error or item.ending.name.lower()))
        span.end(self._moment(time.monotonic()))

    def _put(self, name: str, job: Item, images: int) -> None:
        """Some images of a job are where they are wanted: a span since they were drawn."""
        with self._lock:
            span, since = self._jobs.get(job), self._drawn_at.get(job)
        if span is not None and since is not None:
            of = self._begin(name, span, since)
            of.set_attribute("unikat.images", images)
            of.end(self._moment(time.monotonic()))

    def _span_of(self, job: Item) -> Span | None:
        """The job's, begun when it was taken; None where nobody wants its trace."""
        if not is_sampled(job.trace):
            return None
        with self._lock:
            span = self._jobs.get(job)
            if span is None:
                of, taken = parent(job.trace), round(job.taken.begun_at * 1e9)
                if isinstance(job, ActiveJob):
                    queued = round(job.draw.enqueued_at * 1e9)
                    self._tracer.start_span("wait", of, SpanKind.INTERNAL, start_time=queued).end(taken)
                span = self._jobs[job] = self._tracer.start_span(job.kind, of, SpanKind.CONSUMER, start_time=taken)
                named = {f"unikat.{name}": value for name, value in job.fields.items() if name != "trace_id"}
                span.set_attributes(named | {"unikat.attempts": job.taken.attempts})
                if isinstance(job, Drawable):
                    span.set_attribute("unikat.images", job.count)
            return span

    def _begin(self, name: str, within: Span, at: float, links: list[Link] | None = None) -> Span:
        moment = self._moment(at)
        return self._tracer.start_span(name, set_span_in_context(within), links=links, start_time=moment)

    def _moment(self, at: float) -> int:
        """`at`, on the monotonic clock, in ns since 1970 by Redis' clock."""
        return round((self._clock.now() - time.monotonic() + at) * 1e9)
