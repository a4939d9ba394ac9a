"""Waits for the next job while lanes draw, so that an idle lane is put to work at once."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue

log = logging.getLogger(__name__)

_WAIT = 1.0  # seconds in one blocking command: what stopping may cost
_RETRY = 0.2  # seconds after which a lost connection is tried again


class Fetcher:
    """A thread that moves one job id at a time from the queue to RQ's intermediate list, where a crash leaves it."""

    def __init__(self, queue: Queue, deliver: Callable[[str], None]) -> None:
        """`deliver` is called by the thread."""
        self._redis: Redis = queue.connection
        self._queue = queue
        self._deliver = deliver
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fetcher", daemon=True)
        self._thread.start()

    def want(self, wanted: bool) -> None:
        """Whether the next job is wanted. One that is being waited for still comes."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()

    def stop(self) -> None:
        """Return when no more jobs can come."""
        self._stopped.set()
        self._wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._stopped.is_set():
                return
            try:
                job_id = self._move()
            except RedisError as error:
                log.debug("no job can be taken: %s", error)  # the loop says it louder
                self._stopped.wait(_RETRY)
                continue
            if job_id is not None:
                self._wanted.clear()
                self._deliver(job_id)

    def _move(self) -> str | None:
        # Sent as it is, because the client's signature knows whole seconds only.
        moved = self._redis.execute_command(
            "BLMOVE", self._queue.key, self._queue.intermediate_queue_key, "LEFT", "RIGHT", _WAIT
        )
        return None if moved is None else str(moved, "utf-8", "replace")  # no text: no job; the sweeper removes it
