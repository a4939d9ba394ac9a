"""What comes back from a Generate call, as values that a program can keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from unikat.files import write_whole
from unikat.request import FORMAT_NAMES, Where
from unikat.v1 import studio_pb2

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES: Final = {"image/png": (".png",), "image/webp": (".webp",), "image/jpeg": (".jpg", ".jpeg")}


def where_of(conditions: Iterable[studio_pb2.Condition]) -> Where:
    """Conditions in the form in which `generate` takes them: a category, or a blend as category to weight."""
    return {
        c.attribute: c.category if c.WhichOneof("value") == "category" else dict(sorted(c.blend.weights.items()))
        for c in conditions
    }


@dataclass(frozen=True)
class Renderer:
    """What drew an image: the same bytes are promised where all of it is the same. `encoder` made the file."""

    provider: str
    runtime: str
    processor: str
    encoder: str = ""


@dataclass(frozen=True)
class Timings:
    """Where an image's time went, in seconds: waiting for a worker, for its batch, being drawn, being encoded."""

    queued: float
    batched: float
    drawn: float
    encoded: float


@dataclass(frozen=True)
class Accepted:
    """The request as the service resolved it: with it, the same images can be asked for again.

    `model` is "name@version"; `conditions` are the ones asked for, blends normalised to a sum of 1; images have the
    indexes from `first_index` on; `background` is "#rrggbbaa" for a model with alpha.
    """

    job_id: str
    model: str
    model_digest: str
    seed: int
    count: int
    truncation: float
    format: str
    conditions: Where
    queue_position: int
    first_index: int = 0
    background: str = ""

    @classmethod
    def of(cls, message: studio_pb2.Accepted) -> Accepted:
        return cls(
            message.job_id, message.model, message.model_digest, message.seed, message.count, message.truncation,
            FORMAT_NAMES.get(message.format, "png"), where_of(message.conditions), message.queue_position,
            message.first_index, message.background,
        )  # fmt: skip


@dataclass(frozen=True)
class Finished:
    """The end of a call: images drawn, seconds from the queue to the last image, and how often the job was begun."""

    count: int
    elapsed: float
    attempts: int

    @classmethod
    def of(cls, message: studio_pb2.Finished) -> Finished:
        return cls(message.count, message.elapsed.ToTimedelta().total_seconds(), message.attempts)


@dataclass(frozen=True)
class Artwork:
    """One image, and all that is needed to draw it again.

    `index` is its place among the images of its seed; `id` is the same for the same image wherever it is drawn;
    `conditions` name every attribute, the ones that the request left out included, and can be passed to `generate`;
    `data` are the bytes of a file of type `media_type`; `width` and `height` are in pixels; `background` is
    "#rrggbbaa" for a model with alpha, else ""; `accepted` is only set by `draw`: `Generation` has it for all of its
    images.
    """

    index: int
    id: str
    seed: int
    conditions: Where
    truncation: float
    media_type: str
    data: bytes = field(repr=False)
    width: int
    height: int
    model_digest: str
    renderer: Renderer
    timings: Timings
    accepted: Accepted | None = None
    background: str = ""

    @classmethod
    def of(cls, message: studio_pb2.Artwork) -> Artwork:
        drawn_by, took = message.renderer, message.timings
        seconds = (took.queued, took.batched, took.drawn, took.encoded)
        return cls(
            index=message.index, id=message.id, seed=message.seed, conditions=where_of(message.conditions),
            truncation=message.truncation, media_type=message.media_type, data=message.image,
            width=message.width, height=message.height, model_digest=message.model_digest,
            renderer=Renderer(drawn_by.provider, drawn_by.runtime, drawn_by.processor, drawn_by.encoder),
            timings=Timings(*(duration.ToTimedelta().total_seconds() for duration in seconds)),
            accepted=Accepted.of(message.accepted) if message.HasField("accepted") else None,
            background=message.background,
        )  # fmt: skip

    def image(self) -> Image:
        """The picture, decoded into a new PIL image in RGB, or in RGBA where it is transparent somewhere.

        Raises PIL.UnidentifiedImageError for broken bytes.
        """
        from PIL import Image  # a caller that only stores the bytes needs no decoder

        with Image.open(BytesIO(self.data)) as image:
            return image.convert("RGBA" if image.has_transparency_data else "RGB")

    def array(self) -> npt.NDArray[np.uint8]:
        """The picture, decoded into uint8 of shape (height, width, 3), or 4 for RGBA."""
        return np.array(self.image(), dtype=np.uint8)

    @property
    def suffix(self) -> str:
        """The usual ending of a file of this type, for example ".png"."""
        return SUFFIXES[self.media_type][0]

    def save(self, path: str | Path) -> Path:
        """Write the bytes as they came, whole or not at all, and return where.

        An ending and folders that are missing are added. Raises ValueError if the ending says another format:
        converting would lose what the bytes carry.
        """
        path = Path(path)
        if not path.suffix:
            path = path.with_suffix(self.suffix)
        if path.suffix.lower() not in SUFFIXES[self.media_type]:
            asked = path.suffix.lstrip(".").lower()
            raise ValueError(f'{path}: the artwork is {self.media_type}; ask for it with format="{asked}"')
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.data)
        return path
