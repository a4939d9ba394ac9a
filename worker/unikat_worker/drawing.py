"""Rows of a batch to what a session is fed with, and drawn images to messages.

Everything that images have in common is made once and kept: what changes from image to image are the index, the id, the
file and the times.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from google.protobuf.duration_pb2 import Duration

from unikat.background import WHITE, is_opaque, shares
from unikat.batches.layout import MEDIA_TYPES, DrawnImage
from unikat.bundle import RGBA
from unikat.conditions import CompleteConditions, Schema, to_messages
from unikat.encoders import FORMAT_OF
from unikat.identity import canonical_text, identity_from
from unikat.sampling import latents_and_uniforms
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Artwork, GenerateResponse, Renderer
from unikat_worker.active import ActiveJob, Batch, Drawable, Row
from unikat_worker.buckets import Feeds
from unikat_worker.encoding import encode
from unikat_worker.session import BACKGROUND, CONDITION, LATENT, TRUNCATION, Session

Drawn: TypeAlias = tuple[Drawable, int, bytes | DrawnImage]

_CACHED: Final = 1024  # messages and texts of distinct conditions: some 2 kB each


class ImageFile(NamedTuple):
    """An encoded image: the bytes of the file, its media type, and the encoder that made it."""

    data: bytes
    media_type: str
    encoder: str


class Times(NamedTuple):
    """Seconds that an image took, as the proto's `Timings` defines them."""

    queued: float
    batched: float
    drawn: float
    encoded: float


def feeds(schema: Schema, model: Model, rows: Sequence[Row]) -> tuple[Feeds, list[CompleteConditions]]:
    """The graph's inputs for `rows`, float32 (len(rows), width) each, and what each row is drawn with.

    Raises KeyError for conditions that the model does not have, ValueError for a seed outside 0 to 2**64 - 1 and for
    what is no background.
    """
    seeds, indices = [row.seed for row in rows], [row.index for row in rows]
    latent, uniforms = latents_and_uniforms(seeds, indices, model.latent_size)
    complete = schema.complete_rows([row.weights for row in rows], uniforms)
    inputs = {LATENT: latent, TRUNCATION: np.array([[row.truncation] for row in rows], dtype=np.float32)}
    if schema.size:
        inputs[CONDITION] = schema.stacked(complete)
    if model.channels == RGBA:
        inputs[BACKGROUND] = np.array([shares(row.background or WHITE) for row in rows], dtype=np.float32)
    return inputs, complete


def background_of(model: Model, row: Row) -> str:
    """What is behind an image: "#rrggbbaa", or "" for a model without alpha."""
    return (row.background or WHITE) if model.channels == RGBA else ""


def identity(model: Model, row: Row, complete: CompleteConditions) -> str:
    """`unikat.identity.identity_of` for a row drawn with `complete` by a model."""
    text = _text(complete, row.truncation, background_of(model, row))
    return identity_from(model.digest, row.seed, row.index, text)


@lru_cache(maxsize=_CACHED)
def _text(complete: CompleteConditions, truncation: float, background: str) -> str:
    return canonical_text(complete.weights, truncation, background)


class Responses:
    """Makes the messages for the images of one model. May be used by several threads."""

    def __init__(self, model: Model, renderer: Renderer) -> None:
        """`renderer`: what draws; its encoder comes with each file."""
        self._model = model
        self._renderer = renderer
        self._template = lru_cache(maxsize=_CACHED)(self._make_template)

    def response(self, row: Row, complete: CompleteConditions, file: ImageFile, times: Times) -> bytes:
        """The serialized `GenerateResponse` with an artwork."""
        message = GenerateResponse()
        artwork = message.artwork
        background = background_of(self._model, row)
        artwork.CopyFrom(self._template(complete, row.truncation, background, file.media_type, file.encoder))
        artwork.index = row.index
        artwork.id = identity(self._model, row, complete)
        artwork.image = file.data
        artwork.seed = row.seed
        timings = artwork.timings
        _set(timings.queued, times.queued)
        _set(timings.batched, times.batched)
        _set(timings.drawn, times.drawn)
        _set(timings.encoded, times.encoded)
        return message.SerializeToString()

    def _make_template(
        self, complete: CompleteConditions, truncation: float, background: str, media_type: str, encoder: str
    ) -> Artwork:
        artwork = Artwork(
            background=background,
            media_type=media_type,
            conditions=to_messages(complete.weights),
            truncation=truncation,
            width=self._model.width,
            height=self._model.height,
            model_digest=self._model.digest,
            renderer=self._renderer,
        )
        artwork.renderer.encoder = encoder
        return artwork


def _set(duration: Duration, seconds: float) -> None:
    microseconds = max(0, round(seconds * 1e6))  # clocks of two machines may disagree
    duration.seconds, duration.nanos = microseconds // 1_000_000, microseconds % 1_000_000 * 1000


def draw_rows(
    session: Session, rows: Sequence[Row], encoders: Sequence[str], *, alone: bool = False
) -> tuple[list[CompleteConditions], list[ImageFile], tuple[float, float]]:
    """What each row is drawn with, its file, and the seconds that drawing the batch and encoding an image took.

    `encoders` has the name of each row's encoder. A file has alpha only where the background lets it through. Raises
    what malformed rows, the runtime and encoders raise.
    """
    begun = time.perf_counter()
    inputs, complete = feeds(session.schema, session.model, rows)
    pixels = session.draw(inputs, alone)
    drawn = time.perf_counter()
    files: list[ImageFile | None] = [None] * len(rows)
    channels = [3 if is_opaque(background_of(session.model, row)) else RGBA for row in rows]
    kinds = list(zip(encoders, channels, strict=True))
    for kind in dict.fromkeys(kinds):
        encoder, depth = kind
        places = [place for place, each in enumerate(kinds) if each == kind]
        some = pixels if len(places) == len(rows) else pixels[places]
        for place, data in zip(places, encode(some[..., :depth], encoder), strict=True):
            files[place] = ImageFile(data, MEDIA_TYPES[FORMAT_OF[encoder]], encoder)
    seconds = drawn - begun, (time.perf_counter() - drawn) / len(rows)
    return complete, [file for file in files if file is not None], seconds


def draw_batch(session: Session, batch: Batch, responses: Responses) -> list[Drawn]:
    """Draw and encode a batch: for each image its job, its position in the job, and what its sink takes.

    That is the entry for the job's stream, or for a shard the image with its file.
    """
    begun = time.monotonic()
    places = [(job, position) for job, taken in batch.shares for position in taken]
    rows = [job.row(position) for job, position in places]
    complete, files, (drawn, encoded) = draw_rows(session, rows, [job.encoder for job, _ in places], alone=batch.alone)
    results: list[Drawn] = []
    for (job, position), row, conditions, file in zip(places, rows, complete, files, strict=True):
        if isinstance(job, ActiveJob):
            times = Times(job.taken.begun_at - job.draw.enqueued_at, begun - job.taken_at, drawn, encoded)
            results.append((job, position, responses.response(row, conditions, file, times)))
        else:
            id = identity(session.model, row, conditions)
            results.append((job, position, DrawnImage(row.index, id, conditions.weights, file.data)))
    return results
