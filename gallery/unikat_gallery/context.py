"""What requests share: settings, the connection to the service, the database, images, and room for streams."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

from google.rpc.code_pb2 import Code
from sqlalchemy import Connection, Engine
from starlette.requests import Request

from unikat.aio import AsyncStudio
from unikat.registry import Registry
from unikat_gallery.database import writing
from unikat_gallery.images import Drawer
from unikat_gallery.limits import HOUR_S, Limit, Limits
from unikat_gallery.problems import REGISTRY, refuse, too_many
from unikat_gallery.settings import Settings
from unikat_gallery.votes.ballot import Ballot
from unikat_gallery.votes.pictures import artist_pictures

T = TypeVar("T")

REGISTRY_CALLS: Final = 8  # that the registry answers at the same time, to all visitors


@dataclass
class Context:
    """Of one process. `mark_keys` are those of watermarks; `streams` counts what is drawn now, by visitor.

    `registry` is None where none runs. It has threads of its own: a slow one holds up nothing else.

    Raises ValueError for a folder of the artist's pictures that has none.
    """

    settings: Settings
    studio: AsyncStudio
    engine: Engine
    drawer: Drawer
    mark_keys: Mapping[str, bytes]
    registry: Registry | None = None
    streams: Counter[str] = field(default_factory=Counter)
    ballot: Ballot = field(init=False)
    claims: Limits = field(init=False)
    verifications: Limits = field(init=False)
    pictures: Sequence[Path] = field(init=False)  # of the artist

    def __post_init__(self) -> None:
        said, many = self.settings, "At most {} pairs a minute are shown: take your time."
        own, every = (Limit(most, many.format(most)) for most in (said.visitor_votes, said.max_votes))
        self.ballot = Ballot(Limits(own, every))
        self.claims = _an_hour("works", "claimed", said.visitor_claims, said.max_claims)
        self.verifications = _an_hour("pictures", "verified", said.visitor_verifications, said.max_verifications)
        self._asking = ThreadPoolExecutor(REGISTRY_CALLS, "registry")
        self.pictures = artist_pictures(self.settings.artist_pictures)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a thread, with a connection that sees what is committed."""

        def run() -> T:
            with self.engine.connect() as connection:
                return work(connection)

        return await asyncio.to_thread(run)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a thread and a transaction, which is committed unless it raises."""

        def run() -> T:
            with writing(self.engine) as connection:
                return work(connection)

        return await asyncio.to_thread(run)

    async def ask(self, request: Request, call: Callable[[Registry], T]) -> T:
        """What the registry answers to a call, whose errors are shown as the registry's.

        Raises InvalidRequest where there is none, and the errors of `unikat.errors`.
        """
        registry = self.registry
        if registry is None:
            refuse("registry", "none runs here: --registry says where one is", Code.FAILED_PRECONDITION)
        request.state.asked = REGISTRY
        return await asyncio.get_running_loop().run_in_executor(self._asking, call, registry)

    @contextmanager
    def streaming(self, visitor: str, what: str = "walls") -> Iterator[None]:
        """One more that is drawn, until the end of the block. Raises Overloaded where there is no room for it."""
        if self.streams[visitor] >= self.settings.visitor_streams:
            raise too_many(f"You draw {self.settings.visitor_streams} {what} at once already: close one.")
        if self.streams.total() >= self.settings.max_streams:
            raise too_many("Too many people draw at the same time: try again in a moment.")
        self.streams[visitor] += 1
        try:
            yield
        finally:
            self.streams[visitor] -= 1
            if not self.streams[visitor]:
                del self.streams[visitor]


def _an_hour(what: str, done: str, visitor: int, every: int) -> Limits:
    """What one visitor, and what all together, may have done an hour."""
    of, many = {"by one visitor": visitor, "here": every}, "At most {} {} an hour can be {} {}: come back later."
    return Limits(*(Limit(most, many.format(most, what, done, whose), HOUR_S) for whose, most in of.items()))


def context_of(request: Request) -> Context:
    """The context of a request's process."""
    return cast(Context, request.app.state.context)


def visitor_of(request: Request) -> str:
    """Whose request it is: 32 hex digits of the browser's cookie. Raises InvalidRequest where it keeps none."""
    visitor = cast(str, request.state.visitor)
    if not visitor:
        refuse(
            "visitor", "favourites and albums need this site's cookie: allow it, and reload", Code.FAILED_PRECONDITION
        )
    return visitor
