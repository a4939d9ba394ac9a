"""Walls: the images of a seed as server-sent events, as they are drawn; and the models that can be asked for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from unikat.artwork import Artwork
from unikat.errors import UnikatError
from unikat.request import Where
from unikat.resuming import AsyncGeneration
from unikat_gallery.context import Context, context_of
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse, shown

MOST_WORKS: Final = 256  # of one stream; a page asks for the next ones as it is scrolled
RETRY: Final = "retry: 500\n\n"  # milliseconds after which a browser that was cut off comes back
EVENTS: Final = {"content-type": "text/event-stream", "x-accel-buffering": "no"}


async def models(request: Request) -> JSONResponse:
    """The models that are served, without their combinations: of each name the newest version first."""
    found = await context_of(request).studio.models()
    return JSONResponse({"models": [MessageToDict(model) for model in found]})


@dataclass(frozen=True)
class Series:
    """Images to stream: `generate(first_index, count)` draws those from `first` to `end` - 1. `where` is for errors."""

    first: int
    end: int
    where: Where
    generate: Callable[[int, int], AsyncGeneration]


async def wall(request: Request) -> StreamingResponse:
    """Images `index` to `index + count - 1` of a seed. A browser that was cut off goes on after Last-Event-ID."""
    return streamed(request, _wall)


def _wall(request: Request) -> Series:
    """Raises InvalidRequest."""
    link = Link.parse(request.query_params.multi_items())
    count, studio = count_of(request, MOST_WORKS), context_of(request).studio

    def generate(first: int, count: int) -> AsyncGeneration:
        return studio.generate(link.model, link.conditions, first_index=first, count=count, **link.asked)

    return Series(link.index, link.index + count, link.where, generate)


def count_of(request: Request, most: int) -> int:
    """How many images are asked for. Raises InvalidRequest."""
    text = request.query_params.get("count", "1")
    if not (text.isdecimal() and len(text) < 9 and 1 <= int(text) <= most):
        refuse("count", f"a whole number from 1 to {most}, not {text[:40]!r}")
    return int(text)


def streamed(request: Request, asked: Callable[[Request], Series]) -> StreamingResponse:
    """The images that a request asks for, as events. A browser that was cut off goes on after Last-Event-ID."""
    return StreamingResponse(_events(request, asked), headers=EVENTS)


async def _events(request: Request, asked: Callable[[Request], Series]) -> AsyncIterator[str]:
    """What is wrong is an event, too: a browser does not show a page the answer to a stream that it could not open."""
    yield RETRY
    series: Series | None = None
    context = context_of(request)
    try:
        with context.streaming(request.state.visitor):
            series = asked(request)
            first = first_of(request, series.first, series.end)
            if first < series.end:
                async with series.generate(first, series.end - first) as generation:
                    async for drawn in _drawn(context, generation):
                        yield drawn
            yield event("finished", {})
    except UnikatError as error:
        yield event("problem", shown(error, series.where if series else ()))


def first_of(request: Request, first: int, end: int) -> int:
    """Index of the first image that a browser does not have yet."""
    last = request.headers.get("last-event-id", "")
    is_number = last.isdecimal() and len(last) < 12
    return int(last) + 1 if is_number and first <= int(last) < end else first


async def _drawn(context: Context, generation: AsyncGeneration) -> AsyncIterator[str]:
    accepted = await generation.accepted()
    yield event("accepted", {"model": accepted.model, "waiting": accepted.queue_position})
    told = 0
    async for artwork in generation:
        for refused in generation.refused[told:]:
            yield event("refused", {"reason": refused.reason, "detail": refused.detail}, refused.index)
        told = len(generation.refused)
        context.drawer.images.keep(artwork)
        yield event("work", facts(artwork, accepted.model), artwork.index)
    for refused in generation.refused[told:]:
        yield event("refused", {"reason": refused.reason, "detail": refused.detail}, refused.index)


def facts(artwork: Artwork, model: str) -> dict[str, Any]:
    """What a tile of a wall knows of its work; `link` is the query of its recipe, `image` where its file is."""
    query = Link.of(artwork, model).query
    return {
        "id": artwork.id, "link": query, "image": f"/image/{artwork.id}.png?{query}", "index": artwork.index,
        "width": artwork.width, "height": artwork.height,
    }  # fmt: skip


def event(name: str, data: dict[str, Any], id: int | None = None) -> str:
    """A server-sent event."""
    place = "" if id is None else f"id: {id}\n"
    return f"{place}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


ROUTES: Final = [Route("/api/models", models), Route("/api/wall", wall)]
