"""What a job publishes next, and what it means when Redis has answered."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from rq.job import JobStatus

from unikat.queue.draws import NO_STREAM, Completion, Publication, Published
from unikat.queue.job import rq_result
from unikat.v1.studio_pb2 import Finished, GenerateResponse
from unikat_worker.active import ActiveJob, Ending, Refused
from unikat_worker.admission import ending_of
from unikat_worker.scheduler import MOST_PUBLISHED, Scheduler


def publication(job: ActiveJob) -> Publication:
    """The images that are due and, behind the last one, the end."""
    due = job.due(MOST_PUBLISHED)
    first = job.published + 1
    if job.published + len(due) < job.draw.count:
        return Publication(job.taken, first, due)
    entries = [*due, _finished(job)]
    if job.taken.foreign:  # RQ's own, slower way, once the stream is complete
        return Publication(job.taken, first, entries)
    result = rq_result(job.outcome)
    done = Completion(result, job.taken.begun_at, job.taken.result_ttl, last=job.draw.count + 1)
    return Publication(job.taken, first, entries, done)


def take_in(scheduler: Scheduler, job: ActiveJob, reply: Published) -> bool:
    """Take in what became of a publication; whether the job is settled with it."""
    if job.ending is not None:
        return False
    if reply.state == "finished":
        scheduler.observe(job, job.draw.count)
        scheduler.finished(job)
        return True
    if reply.state == "open":
        scheduler.observe(job, min(reply.last, job.draw.count))
        if reply.last <= job.draw.count:
            return False
    if reply.state in ("open", "dependents"):
        scheduler.end(job, Ending.FINISHED)
    elif reply.state == "ended" and reply.code != NO_STREAM:
        scheduler.end(job, ending_of(reply.code))
    elif reply.state == "ended":
        job.error = Refused("what has the name of its stream is none")
        scheduler.end(job, Ending.FAILED)
    else:
        scheduler.end(job, Ending.CANCELLED if reply.state == JobStatus.CANCELED else Ending.LOST)
    return False


def _finished(job: ActiveJob) -> bytes:
    elapsed = Duration()
    elapsed.FromMicroseconds(max(0, round(job.elapsed * 1e6)))
    finished = Finished(count=job.draw.count - len(job.refused), elapsed=elapsed, attempts=job.taken.attempts)
    return GenerateResponse(finished=finished).SerializeToString()
