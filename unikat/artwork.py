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
from unikat.recipes.artwork import ArtworkRecipe
from unikat.recipes.messages import mix_of_message
from unikat.recipes.mix import Mix, mix_of
from unikat.refusal import reason_name
from unikat.request import FORMAT_NAMES, Where
from unikat.v1 import studio_pb2

if TYPE_CHECKING:
    from PIL.Image import Image

SIDECAR: Final = ".c2pa"  # of Content Credentials beside a file, where readers look for them
SUFFIXES: Final = {"image/png": (".png",), "image/webp": (".webp",), "image/jpeg": (".jpg", ".jpeg")}


def where_of(conditions: Iterable[studio_pb2.Condition]) -> Where:
    """Conditions in the form in which `generate` takes them: a category, or a blend as category to weight."""
    return {
        c.attribute: c.category if c.WhichOneof("value") == "category" else dict(sorted(c.blend.weights.items()))
        for c in conditions
    }


@dataclass(frozen=True)
class Renderer:
    """What drew an image: the same bytes are promised where all of it is the same.

    `encoder` made the file, `mark` is the id of the key of its watermark ("": the image has no marks).
    """

    provider: str
    runtime: str
    processor: str
    encoder: str = ""
    mark: str = ""

    @classmethod
    def of(cls, message: studio_pb2.Renderer) -> Renderer:
        return cls(message.provider, message.runtime, message.processor, message.encoder, message.mark)


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
class Refused:
    """An image that was drawn and is not delivered.

    `index` is its place among the images of its seed, `reason` "NEAR_COPY" or "CONTENT", `detail` what was measured;
    `digest` (32 bytes) is the artwork's in its last attempt; `conditions` name every attribute.
    """

    index: int
    reason: str
    detail: str
    digest: bytes = field(repr=False)
    conditions: Where

    @classmethod
    def of(cls, message: studio_pb2.Refused) -> Refused:
        conditions = where_of(message.conditions)
        return cls(message.index, reason_name(message.reason), message.detail, message.digest, conditions)


@dataclass(frozen=True)
class Originality:
    """How near a drawing is to the pictures that its model was trained on.

    `distance` is that to the nearest, `percentile` the share of held-out real pictures that are nearer to one than this
    drawing (0: nearer than all of them); None where it was not measured. `attempt`: drawings given up before it.
    """

    distance: float | None
    percentile: float | None
    attempt: int = 0

    @classmethod
    def of(cls, message: studio_pb2.Originality) -> Originality:
        return cls(
            message.distance if message.HasField("distance") else None,
            message.percentile if message.HasField("percentile") else None,
            message.attempt,
        )


@dataclass(frozen=True)
class Finished:
    """The end of a call: images delivered, seconds from the queue to the last one, and how often the job was begun."""

    count: int
    elapsed: float
    attempts: int

    @classmethod
    def of(cls, message: studio_pb2.Finished) -> Finished:
        return cls(message.count, message.elapsed.ToTimedelta().total_seconds(), message.attempts)


@dataclass(frozen=True)
class Artwork:
    """One image, and all that is needed to draw it again.

    `index` is its place among the images of its seed; `digest` (32 bytes) is the same for the same image wherever it is
    drawn, and `id` the first 16 hex digits of it;
    `conditions` name every attribute, the ones that the request left out included, and can be passed to `generate`;
    `data` are the bytes of a file of type `media_type`; `width` and `height` are in pixels; `background` is
    "#rrggbbaa" for a model with alpha, else ""; `accepted` is only set by `draw`: `Generation` has it for all of its
    images; `credentials` are Content Credentials apart from the file, where such were asked for; `originality` is set
    where it was measured, and where the image was not drawn in its first attempt; `pixels_digest` is the SHA-256 of
    the pixels before the watermark, row by row, empty from workers that do not say it; `mix` is the latent, where a
    recipe or a walk was asked for, and then `seed` is 0 or that of its mutations; `model` is "name@version".
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
    digest: bytes = field(default=b"", repr=False)
    credentials: bytes = field(default=b"", repr=False)
    originality: Originality | None = None
    pixels_digest: bytes = field(default=b"", repr=False)
    mix: Mix | None = None
    model: str = ""

    @classmethod
    def of(cls, message: studio_pb2.Artwork, model: str = "") -> Artwork:
        took = message.timings
        seconds = (took.queued, took.batched, took.drawn, took.encoded)
        return cls(
            index=message.index, id=message.id, seed=message.seed, conditions=where_of(message.conditions),
            truncation=message.truncation, media_type=message.media_type, data=message.image,
            width=message.width, height=message.height, model_digest=message.model_digest,
            renderer=Renderer.of(message.renderer),
            timings=Timings(*(duration.ToTimedelta().total_seconds() for duration in seconds)),
            accepted=Accepted.of(message.accepted) if message.HasField("accepted") else None,
            background=message.background, digest=message.digest, credentials=message.credentials,
            pixels_digest=message.pixels_digest,
            originality=Originality.of(message.originality) if message.HasField("originality") else None,
            mix=mix_of_message(message.recipe) if message.HasField("recipe") else None, model=model,
        )  # fmt: skip

    @property
    def recipe(self) -> ArtworkRecipe:
        """All that draws it again: what `Studio.vary` and `Studio.cross` take. Its `link` can be shared."""
        mix = self.mix or mix_of([((self.seed, self.index), 1.0)])
        attempt = self.originality.attempt if self.originality else 0
        return ArtworkRecipe(self.model, mix, self.conditions, self.truncation, self.background, attempt)

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

        Credentials that are apart go beside them, as <name>.c2pa. An ending and folders that are missing are added.
        Raises ValueError if the ending says another format: converting would lose what the bytes carry.
        """
        path = Path(path)
        if not path.suffix:
            path = path.with_suffix(self.suffix)
        if path.suffix.lower() not in SUFFIXES[self.media_type]:
            asked = path.suffix.lstrip(".").lower()
            raise ValueError(f'{path}: the artwork is {self.media_type}; ask for it with format="{asked}"')
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, self.data)
        if self.credentials:
            write_whole(path.with_suffix(SIDECAR), self.credentials)
        return path
