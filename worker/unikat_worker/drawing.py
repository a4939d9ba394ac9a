"""Rows of a batch to what a session is fed with, and drawn images to messages.

Everything that images have in common is made once and kept: what changes from image to image are the index, the id, the
file and the times.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from google.protobuf.duration_pb2 import Duration

from unikat.background import WHITE, is_opaque
from unikat.batches.layout import MEDIA_TYPES, DrawnImage, Measured
from unikat.bundle import RGBA, key_of
from unikat.conditions import CompleteConditions, to_messages
from unikat.encoders import FORMAT_OF
from unikat.identity import canonical_text, digest_from, short_id
from unikat.metadata import Packets, recipe_text
from unikat.recipes.messages import recipe_message
from unikat.recipes.text import text_of
from unikat.refusal import reason_name
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Artwork, GenerateResponse, Originality, Renderer
from unikat_worker.active import ActiveJob, Batch, Drawable
from unikat_worker.buckets import Feeds, Pixels
from unikat_worker.encoding import encode
from unikat_worker.inputs import feeds
from unikat_worker.judge import Drawings, Judge, Verdict
from unikat_worker.marks import Marks
from unikat_worker.rows import Row
from unikat_worker.session import Session

Drawn: TypeAlias = tuple[Drawable, int, bytes | DrawnImage]

_CACHED: Final = 1024  # messages and texts of distinct conditions: some 2 kB each


class ImageFile(NamedTuple):
    """An encoded image: the bytes of the file, its media type, and the artwork's digest.

    `pixels_digest` is the SHA-256 of the pixels before the mark. Of an image that is refused, there are no bytes.
    `verdict` is None where nothing looked at the drawing.
    """

    data: bytes
    media_type: str
    digest: bytes
    pixels_digest: bytes = b""
    verdict: Verdict | None = None

    @property
    def is_refused(self) -> bool:
        return self.verdict is not None and self.verdict.is_refused


class Times(NamedTuple):
    """Seconds that an image took, as the proto's `Timings` defines them."""

    queued: float
    batched: float
    drawn: float
    encoded: float


def background_of(model: Model, row: Row) -> str:
    """What is behind an image: "#rrggbbaa", or "" for a model without alpha."""
    return (row.background or WHITE) if model.channels == RGBA else ""


def digest_of(model: Model, row: Row, complete: CompleteConditions) -> bytes:
    """`unikat.identity.artwork_digest` for a row drawn with `complete` by a model."""
    text = _text(complete, row.truncation, background_of(model, row))
    return digest_from(model.digest, row.latent, row.attempt, text)


@lru_cache(maxsize=_CACHED)
def _text(complete: CompleteConditions, truncation: float, background: str) -> str:
    return canonical_text(complete.weights, truncation, background)


_packets = lru_cache(maxsize=_CACHED)(Packets)


@lru_cache(maxsize=_CACHED)
def _recipe_text(complete: CompleteConditions, truncation: float, background: str) -> str:
    return recipe_text(complete.weights, truncation, background)


class Responses:
    """Makes the messages for the images of one model. May be used by several threads."""

    def __init__(self, model: Model, renderer: Renderer) -> None:
        """`renderer`: what draws; its encoder comes with each file."""
        self._model = model
        self._renderer = renderer
        self._template = lru_cache(maxsize=_CACHED)(self._make_template)

    def response(self, row: Row, complete: CompleteConditions, file: ImageFile, times: Times) -> bytes:
        """The serialized `GenerateResponse` with an artwork, or with the refusal of one."""
        message = GenerateResponse()
        verdict = file.verdict
        if verdict is not None and verdict.is_refused:
            refused = message.refused
            refused.index, refused.reason, refused.detail = row.index, verdict.reason, verdict.detail
            refused.digest = file.digest
            refused.conditions.extend(to_messages(complete.weights))
            return message.SerializeToString()
        artwork = message.artwork
        background = background_of(self._model, row)
        template = self._template(complete, row.truncation, background, file.media_type, (row.encoder, row.mark))
        artwork.CopyFrom(template)
        artwork.index = row.index
        artwork.id = short_id(file.digest)
        artwork.digest = file.digest
        artwork.pixels_digest = file.pixels_digest
        artwork.image = file.data
        artwork.seed = row.seed
        if row.mix is not None:
            artwork.recipe.CopyFrom(recipe_message(row.mix))
        timings = artwork.timings
        _set(timings.queued, times.queued)
        _set(timings.batched, times.batched)
        _set(timings.drawn, times.drawn)
        _set(timings.encoded, times.encoded)
        if row.attempt or (verdict is not None and verdict.distance is not None):
            artwork.originality.CopyFrom(_originality(row, verdict))
        return message.SerializeToString()

    def _make_template(
        self, complete: CompleteConditions, truncation: float, background: str, media_type: str, made: tuple[str, str]
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
        artwork.renderer.encoder, artwork.renderer.mark = made
        return artwork


def _originality(row: Row, verdict: Verdict | None) -> Originality:
    said = Originality(attempt=row.attempt)
    if verdict is not None and verdict.distance is not None and verdict.percentile is not None:
        said.distance, said.percentile = verdict.distance, verdict.percentile
    return said


def _set(duration: Duration, seconds: float) -> None:
    microseconds = max(0, round(seconds * 1e6))  # clocks of two machines may disagree
    duration.seconds, duration.nanos = microseconds // 1_000_000, microseconds % 1_000_000 * 1000


class Finish(NamedTuple):
    """What drawings go through before they are delivered."""

    judge: Judge
    marks: Marks


def draw_rows(
    session: Session, rows: Sequence[Row], finish: Finish, *, alone: bool = False
) -> tuple[Sequence[Row], list[CompleteConditions], list[ImageFile], tuple[float, float]]:
    """The rows, what each is drawn with, its file, and the seconds that drawing the batch and encoding an image took.

    The rows are those that were given, but in the attempts in which they were drawn. Raises what malformed rows, the
    runtime, `marks` and encoders raise.
    """
    begun = time.perf_counter()
    inputs, complete = _feeds(session, rows)
    pixels = session.draw(inputs, alone)
    verdicts: Sequence[Verdict] | None = None
    if finish.judge.looks_at(session.model, rows):
        drawings = Drawings(list(rows), complete, pixels)
        finish.judge.judge(session, drawings, lambda again: session.draw(_feeds(session, again)[0]))
        rows, pixels, verdicts = drawings.rows, drawings.pixels, drawings.verdicts
    drawn = time.perf_counter()
    files = _files(session.model, Drawing(rows, complete, pixels, verdicts), finish.marks)
    return rows, complete, files, (drawn - begun, (time.perf_counter() - drawn) / len(rows))


def _feeds(session: Session, rows: Sequence[Row]) -> tuple[Feeds, list[CompleteConditions]]:
    return feeds(session.schema, session.model, rows, session.directions)


class Drawing(NamedTuple):
    """What a batch has become before it is encoded. `verdicts` is None where nothing looked at it."""

    rows: Sequence[Row]
    complete: Sequence[CompleteConditions]
    pixels: Pixels
    verdicts: Sequence[Verdict] | None


def _files(model: Model, drawing: Drawing, marks: Marks) -> list[ImageFile]:
    """Mark and encode. A file has alpha only where the background lets it through."""
    rows, complete, pixels, verdicts = drawing
    digests = [digest_of(model, row, each) for row, each in zip(rows, complete, strict=True)]
    packets = _packets(key_of(model), model.digest)
    files: list[ImageFile] = [ImageFile(b"", "", digest) for digest in digests]
    kinds = [(row.encoder, 3 if is_opaque(background_of(model, row)) else RGBA, row.mark) for row in rows]
    if verdicts is not None:
        files = [file._replace(verdict=verdict) for file, verdict in zip(files, verdicts, strict=True)]
    delivered = [place for place, file in enumerate(files) if not file.is_refused]
    for kind in dict.fromkeys(kinds[place] for place in delivered):
        encoder, depth, mark = kind
        places = [place for place in delivered if kinds[place] == kind]
        some = (pixels if len(places) == len(rows) else pixels[places])[..., :depth]
        unmarked = [hashlib.sha256(each.tobytes()).digest() for each in some]
        said: list[bytes] = []
        if mark:
            some = marks.watermark(mark).embed(some, [digests[place] for place in places])
            said = [_packet(packets, model, rows[place], complete[place], digests[place]) for place in places]
        for place, data, before in zip(places, encode(some, encoder, said), unmarked, strict=True):
            media_type = MEDIA_TYPES[FORMAT_OF[encoder]]
            files[place] = files[place]._replace(data=data, media_type=media_type, pixels_digest=before)
    return files


def _packet(packets: Packets, model: Model, row: Row, complete: CompleteConditions, digest: bytes) -> bytes:
    text = _recipe_text(complete, row.truncation, background_of(model, row))
    return packets.packet(digest, row.latent, row.attempt, text)


class DrawnBatch(NamedTuple):
    """Of each image its job, its position in the job, and what its sink takes.

    That is the entry for the job's stream, or for a shard the image with its file. `begun` is on the monotonic clock;
    drawing the batch took `drawn` seconds, encoding one image `encoded`.
    """

    images: list[Drawn]
    begun: float
    drawn: float = 0.0
    encoded: float = 0.0


def draw_batch(session: Session, batch: Batch, responses: Responses, finish: Finish) -> DrawnBatch:
    """Draw and encode a batch."""
    begun = time.monotonic()
    places = [(job, position) for job, taken in batch.shares for position in taken]
    asked = [job.row(position) for job, position in places]
    rows, complete, files, (drawn, encoded) = draw_rows(session, asked, finish, alone=batch.alone)
    results: list[Drawn] = []
    for (job, position), row, conditions, file in zip(places, rows, complete, files, strict=True):
        if isinstance(job, ActiveJob):
            times = Times(job.taken.begun_at - job.draw.enqueued_at, begun - job.taken_at, drawn, encoded)
            job.times = times
            results.append((job, position, responses.response(row, conditions, file, times)))
        else:
            results.append((job, position, _of_shard(row, conditions, file)))
    return DrawnBatch(results, begun, drawn, encoded)


def _of_shard(row: Row, conditions: CompleteConditions, file: ImageFile) -> DrawnImage:
    recipe = "" if row.mix is None else text_of(row.mix)
    image = DrawnImage(row.index, short_id(file.digest), conditions.weights, file.data, recipe=recipe)
    verdict = file.verdict
    if verdict is None:
        return image
    refused = reason_name(verdict.reason) if verdict.is_refused else ""
    measured = Measured(row.attempt, verdict.distance, verdict.percentile)
    return replace(image, refused=refused, detail=verdict.detail, measured=measured)
