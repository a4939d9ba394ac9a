"""What one image is drawn from, and what it must meet to be delivered."""

from __future__ import annotations

from dataclasses import dataclass

from unikat.batches.spec import ShardJob
from unikat.conditions import Denied, Weights
from unikat.queue.job import DrawJob
from unikat.recipes.mix import Latent, Mix


@dataclass(frozen=True, slots=True)
class Terms:
    """What the images of a job must meet: `originality` is "warn", "enforce" or "", `deny` must not be drawn."""

    originality: str
    deny: Denied


@dataclass(frozen=True, slots=True)
class Row:
    """One image to draw. `weights` may leave attributes out; `index` is the image's in the sequence of `seed`.

    `background` is "#rrggbbaa" and counts for a model with alpha only; "" is white. `encoder` makes the file, `mark` is
    the id of the key of its watermark, "" for an image without marks. `attempt` chooses among the latents of an index;
    without `terms` whatever is drawn is delivered, unless this worker's own gate refuses it. Where there is a `mix`, it
    is the latent, and `seed` and `index` only say which image of its request it is.
    """

    weights: Weights
    seed: int
    index: int
    truncation: float
    background: str = ""
    encoder: str = ""
    mark: str = ""
    terms: Terms | None = None
    attempt: int = 0
    mix: Mix | None = None

    @property
    def latent(self) -> Latent:
        """Seed and index, or a mix that is no image's of a seed."""
        return (self.seed, self.index) if self.mix is None else self.mix.latent


def terms_of(job: DrawJob | ShardJob) -> Terms | None:
    """What a job asks of its images beside drawing them; None for one that asks nothing."""
    return Terms(job.originality, job.deny) if job.originality or job.deny else None
