"""From a job as Redis has it to one that can be drawn; what cannot is failed without a try."""

from __future__ import annotations

from unikat.queue.draws import HAS_CALLBACKS, NO_STREAM, OPEN, Taken
from unikat.queue.job import DrawJob
from unikat_worker.active import ActiveJob, Ending
from unikat_worker.settlement import SUSPECT

# Stands where a payload could not be read: nothing of it is drawn.
_NOTHING = DrawJob("", "", {}, 0, 0, 1.0, 0, 0.0)


def admit(taken: Taken) -> ActiveJob:
    """The active job, going on after what its stream holds; it has an ending where there is nothing to draw."""
    try:
        draw = DrawJob.from_hash(taken.data, taken.extra, taken.deadline)
        check_callbacks(taken)
        suspect = taken.crashes >= SUSPECT
        job = ActiveJob(taken, draw, published=min(taken.last, draw.count), solo=suspect, suspect=suspect)
    except ValueError as error:
        job = ActiveJob(taken, _NOTHING)
        job.refuse(str(error))
        return job
    job.refused = {int(number) - 1 for number in taken.refused.split() if number.isdigit()}
    if taken.code == NO_STREAM:
        job.refuse("what has the name of its stream is none")
    elif taken.code != OPEN:
        job.ending = ending_of(taken.code)
    return job


def check_callbacks(taken: Taken) -> None:
    """Raise ValueError for a job whose end would run code that a name in Redis chooses."""
    if taken.foreign == HAS_CALLBACKS:
        raise ValueError("callbacks and webhooks are not run: what is in Redis must not choose code to run")


def ending_of(code: int) -> Ending:
    """What the status says with which a stream was ended."""
    return Ending.CANCELLED if code in (1, 4) else Ending.FAILED  # google.rpc.Code: CANCELLED, DEADLINE_EXCEEDED
