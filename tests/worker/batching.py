"""Batches for tests: real ones in Redis and RQ, their folders, and what must be in these."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from redis import Redis
from rq import Queue

from tests.support.processes import eventually
from unikat.batches.record import BatchRecord
from unikat.batches.spec import BatchSpec, Cell
from unikat.bundle import Bundle, key_of
from unikat.encoders import newest_encoder
from unikat.queue.batches.jobs import batch_queue
from unikat.queue.batches.store import BatchStore
from unikat.sampling import latents
from unikat.v1.batches_pb2 import LAYOUT_FILES, Batch
from unikat.v1.studio_pb2 import ImageFormat
from unikat_worker.buckets import Limits
from unikat_worker.device import CPU, Device
from unikat_worker.encoding import encode
from unikat_worker.session import Session

INK = Cell({"style": {"ink": 1.0}}, 30)
ANY = Cell({}, 50)
CELLS = (INK, Cell({"style": {"oil": 0.5, "chalk": 0.5}, "subject": {"sea": 1.0}}, 20), ANY)

_numbers = count(1)


class Batches:
    """What the service would do, and what a person would look at."""

    def __init__(self, redis: Redis, bundle: Bundle, root: Path) -> None:
        """`root` is the folder that is opened to batches."""
        self.store = BatchStore(redis)
        self.redis = redis
        self.bundle = bundle
        self.root = root
        root.mkdir(exist_ok=True)

    @property
    def opened(self) -> str:
        """The worker's setting."""
        return f"file://{self.root}"

    def create(self, cells: Iterable[Cell] = CELLS, **more: Any) -> str:  # noqa: ANN401  (fields of the spec)
        """Queue a batch into a folder of its own; its id, which is also the folder's name."""
        batch = f"batch{next(_numbers)}"
        fields: dict[str, Any] = {
            "seed": 5, "truncation": 0.8, "image_format": ImageFormat.IMAGE_FORMAT_PNG, "layout": LAYOUT_FILES,
            "destination": f"{self.opened}/{batch}", "shard_size": 16, "digest": self.bundle.model.digest,
        }  # fmt: skip
        fields |= more
        fields.setdefault("encoder", newest_encoder(fields["image_format"]))
        spec = BatchSpec(model=key_of(self.bundle.model), cells=tuple(cells), **fields)
        assert self.store.create(batch, spec, "content") == "content"
        return batch

    def record(self, batch: str) -> BatchRecord:
        """What is known of it."""
        return self.store.read(batch)

    def message(self, batch: str) -> Batch:
        """What a caller sees of it."""
        return self.record(batch).to_message()

    def queue(self, batch: str) -> Queue:
        """Its queue."""
        return batch_queue(self.redis, batch)

    def end(self, batch: str, deadline: float = 90.0) -> Batch:
        """The batch, once it has ended."""
        eventually(lambda: self.record(batch).has_ended, deadline)
        return self.message(batch)

    def end_hurried(self, batch: str) -> Batch:
        """The same, where shards that failed are tried once more, and at once: the pauses take up to 25 s."""
        scheduled = self.queue(batch).scheduled_job_registry

        def has_ended() -> bool:
            for job in scheduled.get_job_ids(cleanup=False):
                self.redis.hset(f"rq:job:{job}", "retries_left", 0)
                self.redis.zadd(scheduled.key, {job: 1}, xx=True)
            return self.record(batch).has_ended

        eventually(has_ended, 90.0)
        return self.message(batch)

    def drawn(self, batch: str) -> int:
        """Images written so far."""
        return self.record(batch).drawn

    def images(self, batch: str) -> dict[str, bytes]:
        """The image files by their names in the folder."""
        folder = self.root / batch
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("images/*/*"))}

    def expected(self, batch: str) -> dict[str, bytes]:
        """The image files that must be there, drawn one by one, with nothing of what is tested but the model."""
        spec = self.store.spec(batch)
        session = Session(self.bundle, Device(CPU, threads=1, inference_threads=1, processor=""), Limits(1, 1.0, 2**28))
        weights = [cell.weights for cell in spec.cells for _ in range(cell.count)]
        files = {}
        for index, asked in enumerate(weights):
            feeds = {
                "latent": latents(spec.seed, [index], session.model.latent_size),
                "truncation": np.array([[spec.truncation]], np.float32),
                "condition": session.schema.vectors(session.schema.complete(asked, spec.seed, [index])),
            }
            name = f"images/{index // spec.shard_size:05}/{index:07}.png"
            [files[name]] = encode(session.draw(feeds), spec.encoder)
        return files

    def assert_complete(self, batch: str, deadline: float = 90.0) -> Batch:
        """It ends well, with every image once, and RQ has nothing left to do."""
        message = self.end(batch, deadline)
        assert message.state == Batch.STATE_SUCCEEDED, message
        assert message.drawn_count == message.total_count
        assert not message.HasField("pause")
        assert self.images(batch) == self.expected(batch)
        assert (self.root / batch / "manifest.parquet").is_file()
        assert message.manifest == f"{self.opened}/{batch}/manifest.parquet"
        eventually(lambda: self.left_in_rq(batch) == 0)
        return message

    def left_in_rq(self, batch: str) -> int:
        """Jobs that wait, are begun, or are to be tried again."""
        queue = self.queue(batch)
        lists = (queue.key, queue.intermediate_queue_key)
        registries = (queue.started_job_registry.key, queue.scheduled_job_registry.key)
        return sum(self.redis.llen(key) for key in lists) + sum(self.redis.zcard(key) for key in registries)
