"""A batch to responses: latents and conditions, one session call, image files, messages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from google.protobuf.duration_pb2 import Duration

from unikat.batches.layout import MEDIA_TYPES
from unikat.conditions import Weights, to_messages
from unikat.encoders import FORMAT_OF, first_encoder
from unikat.identity import identity_of
from unikat.queue.job import DrawJob
from unikat.sampling import latents
from unikat.v1.studio_pb2 import Artwork, GenerateResponse, Renderer, Timings
from unikat_worker.active import ActiveJob, Batch
from unikat_worker.buckets import Feeds
from unikat_worker.device import Device
from unikat_worker.encoding import encode
from unikat_worker.session import CONDITION, LATENT, TRUNCATION, Session

_FIRST_LIMIT: Final = 8  # images in a batch of a model that is not loaded yet


def draw_batch(session: Session, batch: Batch, device: Device) -> list[tuple[ActiveJob, int, bytes]]:
    """Draw and encode. Raises what a malformed job or the runtime raises."""
    begun = time.time()
    weights = [
        w
        for job, taken in batch.shares
        for w in session.schema.complete(job.draw.weights, job.draw.seed, [job.draw.first + index for index in taken])
    ]
    pixels = session.draw(_feeds(session, batch, weights), batch.alone)
    drawn_at = time.time()
    renderer = Renderer(provider=device.provider, runtime=device.runtime, processor=device.processor)
    rows = [(job, index) for job, taken in batch.shares for index in taken]
    encoders = [job.draw.encoder or first_encoder(job.draw.image_format) for job, _ in rows]
    files = encoded(pixels, encoders)
    encoding = (time.time() - drawn_at) / len(rows)
    drawings = []
    for row, (job, index) in enumerate(rows):
        timings = Timings(
            queued=_duration(job.taken_at - job.draw.enqueued_at),
            batched=_duration(begun - job.taken_at),
            drawn=_duration(drawn_at - begun),
        )
        artwork = _artwork(session, job.draw, job.draw.first + index, weights[row])
        artwork.renderer.CopyFrom(renderer)
        artwork.renderer.encoder = encoders[row]
        artwork.image = files[row]
        artwork.media_type = MEDIA_TYPES[FORMAT_OF[encoders[row]]]
        timings.encoded.CopyFrom(_duration(encoding))
        artwork.timings.CopyFrom(timings)
        drawings.append((job, index, GenerateResponse(artwork=artwork).SerializeToString()))
    return drawings


def _feeds(session: Session, batch: Batch, weights: Sequence[Weights]) -> Feeds:
    rows = [(job.draw, job.draw.first + index) for job, taken in batch.shares for index in taken]
    feeds = {
        LATENT: latents([draw.seed for draw, _ in rows], [index for _, index in rows], session.model.latent_size),
        TRUNCATION: np.array([[draw.truncation] for draw, _ in rows], dtype=np.float32),
    }
    if session.schema.size:
        feeds[CONDITION] = session.schema.vectors(weights)
    return feeds


def _artwork(session: Session, draw: DrawJob, index: int, weights: Weights) -> Artwork:
    model = session.model
    return Artwork(
        index=index,
        id=identity_of(model.digest, weights, draw.seed, index, draw.truncation),
        seed=draw.seed,
        conditions=to_messages(weights),
        truncation=draw.truncation,
        width=model.width,
        height=model.height,
        model_digest=model.digest,
    )


def encoded(pixels: npt.NDArray[np.uint8], encoders: Sequence[str]) -> list[bytes]:
    """The file of each image, by the encoder that it is to have: all of one encoder at once."""
    if len(set(encoders)) == 1:
        return encode(pixels, encoders[0])
    files = [b""] * len(encoders)
    for encoder in set(encoders):
        rows = [row for row, each in enumerate(encoders) if each == encoder]
        for row, file in zip(rows, encode(pixels[rows], encoder), strict=True):
            files[row] = file
    return files


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(max(0, round(seconds * 1e6)))  # clocks of two machines may disagree
    return duration
