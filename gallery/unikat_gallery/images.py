"""The images of works: drawn by the service, kept for a while, and drawn again when they are asked for later."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from unikat.aio import AsyncStudio
from unikat.artwork import Artwork
from unikat_gallery.links import Link

MOST_DRAWN: Final = 16  # single images that are drawn at the same time, of all visitors
DRAWN_WITHIN: Final = 60.0  # seconds


class Images:
    """Files of images by the ids of their artworks, at most `most` bytes together; the least recently used go."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._files: OrderedDict[str, bytes] = OrderedDict()
        self.size = 0  # bytes

    def get(self, id: str) -> bytes | None:
        """The file, where it is kept."""
        data = self._files.get(id)
        if data is not None:
            self._files.move_to_end(id)
        return data

    def keep(self, artwork: Artwork) -> None:
        """Keep its file, in place of those that were not asked for the longest time."""
        if artwork.id in self._files or len(artwork.data) > self._most:
            return
        self._files[artwork.id] = artwork.data
        self.size += len(artwork.data)
        while self.size > self._most:
            _, data = self._files.popitem(last=False)
            self.size -= len(data)


class Drawer:
    """Draws single works, a few at a time, and keeps their images."""

    def __init__(self, studio: AsyncStudio, images: Images) -> None:
        self._studio = studio
        self._room = asyncio.Semaphore(MOST_DRAWN)
        self.images = images

    async def draw(self, link: Link, format: str = "png", credentials: str = "none") -> Artwork:
        """The work of a link; `accepted` is with it. Raises the errors of `unikat.errors`."""
        async with self._room:
            artwork = await self._studio.draw(
                link.model, link.conditions, index=link.index, format=format, credentials=credentials,
                timeout=DRAWN_WITHIN, **link.asked,
            )  # fmt: skip
        if format == "png" and credentials == "none":
            self.images.keep(artwork)
        return artwork
