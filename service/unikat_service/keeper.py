"""Looks after the jobs that calls wait for: renews leases and results, and notices jobs that nobody will finish."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rq.job import Job, JobStatus

from unikat.errors import Reason, make_status, retry_later
from unikat_service.jobs import LEASE_S, leases_key
from unikat_service.reader import Cursor

log = logging.getLogger(__name__)

ROUND_S: Final = 3.0
# A worker publishes a job's end before RQ records it; but a round may fall between, so one sign is not enough.
ROUNDS_WITHOUT_LIFE: Final = 2

_ENDED: Final = {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED}


class Keeper:
    """One for a process: one pipeline a round for all its calls."""

    def __init__(self, redis: Redis, result_ttl: int) -> None:
        self._redis = redis
        self._result_ttl = result_ttl
        self._kept: dict[Cursor, str] = {}  # cursor -> lease

    def keep(self, cursor: Cursor, lease: str) -> None:
        """Look after a call's job until `forget`. `lease` is empty where no other call can join."""
        self._kept[cursor] = lease

    def forget(self, cursor: Cursor) -> None:
        """The call has ended."""
        self._kept.pop(cursor, None)

    async def run(self) -> None:
        """Until cancelled; between rounds, not in one."""
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                await asyncio.shield(self._round(dict(self._kept)))
            except (RedisError, OSError) as error:
                log.warning("Looking after jobs: %s", error)

    async def _round(self, kept: dict[Cursor, str]) -> None:
        if not kept:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for cursor, lease in kept.items():
                # A caller may be slow; its results must not expire before its eyes.
                pipe.expire(cursor.key, self._result_ttl)
                pipe.hget(Job.key_for(cursor.job_id), "status")
                if lease:
                    pipe.zadd(leases_key(cursor.job_id), {lease: time.time() + LEASE_S})
            replies = iter(await pipe.execute())
        for cursor, lease in kept.items():
            _, status = next(replies), next(replies)
            if lease:
                next(replies)
            self._judge(cursor, status.decode() if status else None)

    def _judge(self, cursor: Cursor, job_status: str | None) -> None:
        quiet = time.monotonic() - cursor.heard > ROUND_S and cursor.wants_more
        unfinished = job_status is not None and job_status not in _ENDED
        if unfinished or not quiet:
            cursor.suspicions = 0
            return
        cursor.suspicions += 1
        if cursor.suspicions >= ROUNDS_WITHOUT_LIFE:
            cursor.fail(_verdict(cursor.job_id, job_status))


def _verdict(job_id: str, job_status: str | None) -> Status:
    """Why a job that has ended will publish nothing more, as seen from its RQ status (None: it is not there)."""
    if job_status in (JobStatus.FAILED, JobStatus.STOPPED):
        text = f"job {job_id} {job_status} without a result; RQ's failed job registry has the details"
        return make_status(Code.INTERNAL, text, Reason.JOB_FAILED, job_id=job_id)
    if job_status == JobStatus.CANCELED:
        return make_status(Code.CANCELLED, f"job {job_id} was cancelled by an operator", Reason.CANCELLED)
    text = f"the results of job {job_id} are no longer there; send the request again"
    return retry_later(Code.UNAVAILABLE, text, Reason.RESULT_EXPIRED, 1.0)
