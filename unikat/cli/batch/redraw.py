"""Images of a batch, drawn once more through the service, compared byte for byte."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image
from rich.text import Text

from unikat.batches.verify import Picked
from unikat.cli.output import counted, stdout
from unikat.cli.problems import Problem
from unikat.request import FORMAT_NAMES, as_sent

if TYPE_CHECKING:
    from unikat.artwork import Artwork, Renderer
    from unikat.client import Studio

SHOWN: Final = 20


@dataclass(frozen=True)
class Redrawn:
    """How many images were drawn again, which came out different, and what drew them then and now."""

    count: int
    different: list[int]
    drawn_by: list[Renderer]
    drawn_again_by: list[Renderer]

    def print(self) -> None:
        now, then = _names(self.drawn_again_by), _names(self.drawn_by)
        if not self.different:
            elsewhere = "" if now == then else f"; the batch was drawn by {then}"
            what = "byte" if self.drawn_by and _encoders(self.drawn_by) == _encoders(self.drawn_again_by) else "pixel"
            same = f"{counted(self.count, 'image')} drawn again, every {what} the same, by {now}{elsewhere}."
            stdout().print(Text(same))
            return
        shown = ", ".join(map(str, self.different[:SHOWN])) + (", ..." if len(self.different) > SHOWN else "")
        hints = [f"  image {shown}" if len(self.different) == 1 else f"  images {shown}"]
        if now == then:
            hints.append(f"Both were drawn by {now}: the bytes should be the same.")
        else:
            hints.append(f"The batch was drawn by {then}; this is {now}.")
            hints.append("The same bytes are promised only where all of that is the same.")
        Problem(f"{len(self.different)} of {counted(self.count, 'image')} came out different", *hints).show()


def _encoders(renderers: list[Renderer]) -> set[str]:
    return {renderer.encoder for renderer in renderers}


def _names(renderers: list[Renderer]) -> str:
    parts = [filter(None, (r.provider, r.runtime, r.processor, r.encoder, r.mark)) for r in renderers]
    return " and ".join(sorted({", ".join(part) for part in parts}))


def draw_again(
    studio: Studio, pick: Callable[[int, int], list[Picked]], count: int, progress: Callable[[int, int], None]
) -> Redrawn:
    """`count` images at random, by `pick`, which is told a seed too.

    Raises Problem if the service does not serve the model that drew them.
    """
    picked = pick(count, secrets.randbits(32))
    for model, digest in {(each.model, each.digest) for each in picked}:
        served = studio.model(model).digest
        if served != digest:
            raise Problem(f"the batch was drawn by {model} ({digest}), the service has another one ({served})")
    different: list[int] = []
    then: list[Renderer] = []
    now: list[Renderer] = []
    for done, each in enumerate(picked):
        progress(done, len(picked))
        artwork = _draw(studio, each)
        if artwork.renderer.mark != each.renderer.mark:
            marks = " and ".join(mark or "none" for mark in (each.renderer.mark, artwork.renderer.mark))
            hint = f"Start a service with --mark {each.renderer.mark or 'none'}."
            raise Problem(f"images of the batch and of the service have other marks: {marks}", hint)
        if artwork.data != each.data and not _same_pixels(artwork, each):
            different.append(each.index)
        then += [each.renderer] if each.renderer not in then else []
        now += [artwork.renderer] if artwork.renderer not in now else []
    return Redrawn(len(picked), different, then, now)


def _same_pixels(artwork: Artwork, picked: Picked) -> bool:
    """Whether only the files differ, because another encoder made them."""
    if artwork.renderer.encoder == picked.renderer.encoder:
        return False
    now, then = (np.asarray(Image.open(BytesIO(data))) for data in (artwork.data, picked.data))
    return bool(np.array_equal(now, then))


def _draw(studio: Studio, picked: Picked) -> Artwork:
    found = studio.generate(
        picked.model,
        {name: as_sent(of) for name, of in picked.weights.items()},
        first_index=0 if picked.recipe else picked.index,
        seed=None if picked.recipe else picked.seed,
        recipe=picked.recipe or None,
        truncation=picked.truncation,
        background=picked.background,
        attempt=picked.attempt,
        format=FORMAT_NAMES[picked.image_format],
    )
    artwork = next(found, None)
    if artwork is None:
        why = found.refused[0].detail if found.refused else "no image came"
        raise Problem(f"image {picked.index} is in the batch, and this service does not deliver it: {why}")
    return artwork
