"""Images and jobs per second, which the service tells callers who have to wait, and the times of the last jobs."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from unikat.queue.activity import RECENT, WINDOW_S

_WEIGHT: Final = 0.3  # of the newest interval in the moving average


class Rates:
    """Moving averages over the time in which there was work: an idle worker has not become slower."""

    def __init__(self) -> None:
        self.images_per_second = 0.0
        self.jobs_per_second = 0.0
        self._lock = threading.Lock()
        self._images = 0
        self._jobs = 0
        self._busy = 0.0
        self._busy_before = 0.0  # all of it but for the time since `_busy_since`
        self._busy_since: float | None = None
        self._began = time.monotonic()
        self._intervals: deque[tuple[float, int, int]] = deque()  # end, images, jobs of those of the last minute
        self._uncounted = [0, 0]  # images and jobs since the last of them
        self._recent: deque[tuple[float, Sequence[float]]] = deque(maxlen=RECENT)  # when, and the times of a job

    def count(self, images: int = 0, jobs: int = 0) -> None:
        """So many were finished."""
        with self._lock:
            self._images += images
            self._jobs += jobs
            self._uncounted[0] += images
            self._uncounted[1] += jobs

    def drew(self, images: int) -> None:
        """Images of a batch were drawn: part of what was done lately, not of what callers may expect."""
        with self._lock:
            self._uncounted[0] += images

    def finished(self, times: Sequence[float]) -> None:
        """A job was published whole; `times` are the seconds of `unikat.queue.activity.STAGES`."""
        self._recent.append((time.monotonic(), times))

    def recent(self) -> list[list[float]]:
        """The times of the jobs that were finished in the last minute, newest last, at most RECENT."""
        since = time.monotonic() - WINDOW_S
        return [[round(seconds, 4) for seconds in times] for at, times in self._recent.copy() if at >= since]

    def lately(self) -> tuple[float, float]:
        """Images and jobs per second of the last minute, idle time included."""
        moment = time.monotonic()
        with self._lock:
            self._intervals.append((moment, self._uncounted[0], self._uncounted[1]))
            self._uncounted = [0, 0]
            while self._intervals[0][0] < moment - WINDOW_S:
                self._intervals.popleft()
            seconds = max(1.0, min(WINDOW_S, moment - self._began))
            images, jobs = (sum(each[which] for each in self._intervals) for which in (1, 2))
            return images / seconds, jobs / seconds

    def set_busy(self, busy: bool) -> None:
        """Whether there is work from now on."""
        moment = time.monotonic()
        with self._lock:
            if self._busy_since is not None:
                self._busy += moment - self._busy_since
                self._busy_before += moment - self._busy_since
            self._busy_since = moment if busy else None

    def busy_seconds(self) -> float:
        """Seconds so far in which there was work."""
        with self._lock:
            now = 0.0 if self._busy_since is None else time.monotonic() - self._busy_since
            return self._busy_before + now

    def update(self) -> None:
        """Take the time since the last update into the averages, if there was enough to do in it."""
        self.set_busy(self._busy_since is not None)
        with self._lock:
            if self._busy < 0.1:  # seconds: less says little
                return
            images, jobs = self._images / self._busy, self._jobs / self._busy
            first = not self.images_per_second
            self.images_per_second = (
                images if first else self.images_per_second + _WEIGHT * (images - self.images_per_second)
            )
            self.jobs_per_second = jobs if first else self.jobs_per_second + _WEIGHT * (jobs - self.jobs_per_second)
            self._images, self._jobs, self._busy = 0, 0, 0.0
