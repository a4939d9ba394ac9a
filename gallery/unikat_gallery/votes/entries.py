"""What is voted on: versions of a model at truncations, and works of them that are drawn for one pair."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unikat.bundle import RGBA, key_of
from unikat.pictures import on_white, read_pixels
from unikat.recipes.text import shortest
from unikat.request import Where
from unikat.v1.model_pb2 import Model
from unikat_gallery.context import Context
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse
from unikat_gallery.votes.pictures import RANDOM, Shown, read_artist_picture
from unikat_gallery.votes.vote import Kind, Side

log = logging.getLogger(__name__)

WHITE: Final = "#ffffff"  # behind drawings with alpha, as behind the artist's pictures


@dataclass(frozen=True)
class Entry:
    """A version of a model at a truncation."""

    model: Model
    truncation: float

    @property
    def background(self) -> str:
        """What a drawing is asked with."""
        return WHITE if self.model.channels == RGBA else ""

    def known(self, where: Where) -> Where:
        """Those of the conditions that this version knows."""
        names = {each.name: {category.name for category in each.categories} for each in self.model.attributes}
        return {
            name: value
            for name, value in where.items()
            if name in names and set([value] if isinstance(value, str) else value) <= names[name]
        }


async def entries(context: Context) -> list[Entry]:
    """Of the model that is voted on: its versions, with each truncation. Raises InvalidRequest for none."""
    served: Sequence[Model] = await context.studio.models()
    name = context.settings.vote_model or (served[0].name if served else "")
    found = [model for model in served if model.name == name]
    if not found:
        refuse("model", f"{name or 'none'} is not served: nothing can be voted on")
    same = [model for model in found if (model.width, model.height) == (found[0].width, found[0].height)]
    return [Entry(model, truncation) for model in same for truncation in context.settings.truncations]


async def drawn(context: Context, entry: Entry, where: Where | None = None) -> tuple[Shown, Where]:
    """A fresh work of an entry, of a seed by lot; and its conditions."""
    link = Link(
        key_of(entry.model), secrets.randbits(63), 0, entry.known(where or {}), entry.truncation, entry.background
    )
    return await _drawn(context, link)


async def drawn_again(context: Context, side: Side, size: tuple[int, int]) -> Shown:
    """What a side showed, once more: drawn by its recipe, or read from the artist's folder.

    Raises InvalidRequest where its model or picture is gone or changed.
    """
    if side.kind is Kind.DRAWING:
        found, _ = await _drawn(context, Link.parse(side.recipe))
    else:
        found = await picture(context, size, Path(side.recipe))
    if found.side.work != side.work:
        refuse("pair", "what it showed has changed")
    return found


async def picture(context: Context, size: tuple[int, int], path: Path | None = None) -> Shown:
    """A picture of the artist by lot, or the one at `path`, at a size (width, height)."""
    chosen = path or RANDOM.choice(context.pictures)
    try:
        pixels, digest = await asyncio.to_thread(read_artist_picture, chosen, size)
    except ValueError as error:
        log.warning("a picture of the artist: %s", error)
        refuse("pictures", "one cannot be read; the log of the gallery says which")
    return Shown(Side(Kind.PICTURE, digest, recipe=str(chosen)), pixels)


async def _drawn(context: Context, link: Link) -> tuple[Shown, Where]:
    artwork = await context.drawer.draw(link)
    assert artwork.accepted is not None  # `draw` sets it
    model = artwork.accepted.model
    side = Side(
        Kind.DRAWING,
        artwork.digest.hex(),
        model,
        shortest(artwork.truncation),
        artwork.model_digest,
        Link.of(artwork, model).query,
    )
    return Shown(side, on_white(read_pixels(artwork.data))), artwork.conditions
