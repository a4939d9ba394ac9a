"""The statuses with which a worker ends the streams of jobs that it cannot finish."""

from __future__ import annotations

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from unikat.errors import Reason, make_status


def failed_status(job_id: str, error: BaseException) -> Status:
    """INTERNAL, with the job's id: the traceback is in RQ's FailedJobRegistry, not for callers."""
    message = f"job {job_id} failed: {type(error).__name__}"
    return make_status(Code.INTERNAL, message, Reason.JOB_FAILED, job_id=job_id)


def lost_status(job_id: str, error: BaseException) -> Status:
    """INTERNAL for a job with which workers died: nothing of it is secret, and its caller can ask for less."""
    return make_status(Code.INTERNAL, f"job {job_id} failed: {error}", Reason.JOB_FAILED, job_id=job_id)


def deadline_status(job_id: str) -> Status:
    """DEADLINE_EXCEEDED."""
    message = f"job {job_id} was not complete at its deadline"
    return make_status(Code.DEADLINE_EXCEEDED, message, Reason.DEADLINE_EXCEEDED, job_id=job_id)


def stopped_status(job_id: str) -> Status:
    """CANCELLED, by an operator's stop command."""
    return make_status(Code.CANCELLED, f"job {job_id} was stopped", Reason.CANCELLED, job_id=job_id)
