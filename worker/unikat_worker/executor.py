"""Draws batches with the sessions that the catalogue has."""

from __future__ import annotations

import time
from typing import Final
from weakref import WeakKeyDictionary

from unikat.v1.studio_pb2 import Renderer
from unikat_worker.active import Batch
from unikat_worker.buckets import Limits
from unikat_worker.catalogue import Catalogue
from unikat_worker.device import Device
from unikat_worker.drawing import DrawnBatch, Finish, Responses, draw_batch
from unikat_worker.session import Session

_FIRST_LIMIT: Final = 8  # images in a batch of a model that is not loaded yet


class Executor:
    """Called by all inference threads."""

    def __init__(self, catalogue: Catalogue, device: Device, finish: Finish, limits: Limits) -> None:
        """`limits`: of a batch; of its memory, sessions take care."""
        self.catalogue = catalogue
        self.finish = finish
        self.device = device
        self._batch_s = limits.seconds
        self._max_batch = limits.images
        self._renderer = Renderer(provider=device.provider, runtime=device.runtime, processor=device.processor)
        self._responses: WeakKeyDictionary[Session, Responses] = WeakKeyDictionary()

    def limit(self, digest: str) -> int:
        """Images in the largest batch to be cut of a model: as many as are drawn in the time that a batch may take.

        On a CPU that is more than the session draws at once; jobs that are taken, drawn and published together cost
        Redis and this process less.
        """
        session = self.catalogue.peek(digest)
        if session is None:
            return _FIRST_LIMIT
        buckets, gate_s = session.buckets, self.finish.judge.seconds(session.model)
        if gate_s:
            return max(1, min(self._max_batch, int(self._batch_s / (buckets.seconds_per_image + gate_s))))
        if buckets.pads:
            return buckets.largest_within(self._batch_s)
        return max(1, min(self._max_batch, buckets.images_within(self._batch_s)))

    def gain(self, digest: str) -> float:
        """How many times faster an image is in a large batch than alone."""
        session = self.catalogue.peek(digest)
        return session.buckets.gain if session else 1.0

    def image_bytes(self, digest: str) -> int:
        """Bytes of the pixels of one image, more than its file has; 0 for a model that is not loaded."""
        session = self.catalogue.peek(digest)
        return session.image_bytes if session else 0

    def seconds(self, digest: str, size: int) -> float:
        """How long a batch takes, about; infinite for a model that is not loaded."""
        session = self.catalogue.peek(digest)
        return size * session.buckets.seconds_per_image if session else float("inf")

    def draw(self, batch: Batch) -> DrawnBatch:
        """Draw a batch, as `draw_batch` does; nothing of one that nobody wants any more.

        Raises UnknownModel, BundleError, and what a malformed job or the runtime raises.
        """
        if not batch.is_wanted:
            return DrawnBatch([], time.monotonic())
        session = self.catalogue.use(batch.digest)
        responses = self._responses.get(session)
        if responses is None:
            responses = self._responses.setdefault(session, Responses(session.model, self._renderer))
        return draw_batch(session, batch, responses, self.finish)
