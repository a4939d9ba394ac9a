"""The limit: a plain ONNX Runtime loop in one process that does the same work and nothing else.

The same work is: latents and conditions, one session call, PNG at the worker's compression level. Lanes are threads
that each draw and encode on their own; a lane's session has `threads` threads.
"""

from __future__ import annotations

import io
import threading
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from unikat.bundle import Bundle
from unikat.conditions import Schema
from unikat.sampling import latents

Rows = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Shape:
    """How the loop is laid out."""

    lanes: int
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.lanes} × {self.threads} thread{'s' if self.threads > 1 else ''}, batch {self.batch}"


def draw_once(session: ort.InferenceSession, bundle: Bundle, schema: Schema, start: int, batch: int) -> Rows:
    """Images `start` to `start + batch` of seed 1: uint8 (batch, H, W, 3)."""
    indices = range(start, start + batch)
    feed = {
        "latent": latents(1, indices, bundle.model.latent_size),
        "truncation": np.full((batch, 1), bundle.model.default_truncation, np.float32),
    }
    if schema.size:
        feed["condition"] = schema.vectors(schema.complete({}, 1, indices))
    images: Rows = session.run(["image"], feed)[0]
    return images


def encode(image: Rows) -> bytes:
    """PNG, level 1."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def images_per_second(bundle: Bundle, shape: Shape, seconds: float) -> float:
    """Images drawn and encoded per second by a loop of this shape, over `seconds`."""
    schema = Schema(bundle.model)
    done = [0] * shape.lanes
    begin = threading.Barrier(shape.lanes + 1)
    stop = threading.Event()

    def lane(number: int) -> None:
        session = _session(bundle, shape.threads)
        draw_once(session, bundle, schema, 0, shape.batch)
        begin.wait()
        while not stop.is_set():
            for image in draw_once(session, bundle, schema, done[number], shape.batch):
                encode(image)
            done[number] += shape.batch

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(shape.lanes)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - started)


def _session(bundle: Bundle, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(bundle.graph.read_bytes(), options, providers=["CPUExecutionProvider"])
