"""Images and jobs per second: what the service tells callers who have to wait."""

from __future__ import annotations

import threading
import time
from typing import Final

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
        self._busy_since: float | None = None

    def count(self, images: int = 0, jobs: int = 0) -> None:
        """So many were finished."""
        with self._lock:
            self._images += images
            self._jobs += jobs

    def set_busy(self, busy: bool) -> None:
        """Whether there is work from now on."""
        moment = time.monotonic()
        with self._lock:
            if self._busy_since is not None:
                self._busy += moment - self._busy_since
            self._busy_since = moment if busy else None

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
