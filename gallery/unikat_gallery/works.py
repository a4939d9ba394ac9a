"""Single works: what is known of one, its image under an address that never changes, downloads, and a QR code."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict
from io import BytesIO
from typing import Any, Final, TypeVar

import segno
from google.rpc.code_pb2 import Code
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from unikat.artwork import SUFFIXES, Artwork
from unikat.request import FORMATS
from unikat_gallery.context import context_of
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse
from unikat_gallery.walls import facts

T = TypeVar("T")

FOR_EVER: Final = {"cache-control": "public, max-age=31536000, immutable"}


async def work(request: Request) -> Response:
    """A work by its link, with all that its page says of it. It is not drawn for a page that has asked for another."""
    return await shown_of(request, Link.parse(request.query_params.multi_items()))


async def shown_of(request: Request, link: Link) -> Response:
    """All that a work's page says of the work of a link. Raises the errors of `unikat.errors`."""
    artwork = await while_there(request, context_of(request).drawer.draw(link))
    if artwork is None:
        return Response(status_code=204)
    context = context_of(request)
    has_registry, claims = context.registry is not None, context.settings.visitor_claims > 0
    return JSONResponse(_all_facts(artwork) | {"registry": has_registry, "claims": has_registry and claims})


async def while_there(request: Request, drawing: Coroutine[Any, Any, T]) -> T | None:
    """What is drawn; None, and the call is cancelled, once nobody waits for it."""
    task, gone = asyncio.create_task(drawing), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _all_facts(artwork: Artwork) -> dict[str, Any]:
    assert artwork.accepted is not None  # `draw` sets it
    return facts(artwork, artwork.accepted.model) | {
        "digest": artwork.digest.hex(),
        "model": artwork.accepted.model,
        "model_digest": artwork.model_digest,
        "renderer": asdict(artwork.renderer),
        "timings": asdict(artwork.timings),
        "originality": asdict(artwork.originality) if artwork.originality else None,
    }


async def image(request: Request) -> Response:
    """The PNG of a work. Its id is a digest of its recipe, so that what the address shows never changes."""
    drawer, id = context_of(request).drawer, request.path_params["id"]
    data = drawer.images.get(id)
    if data is None:
        artwork = await drawer.draw(Link.parse(request.query_params.multi_items()))
        if artwork.id != id:
            refuse("id", f"the recipe draws {artwork.id}, not this one: its model has changed", Code.NOT_FOUND)
        data = artwork.data
    return Response(data, media_type="image/png", headers=FOR_EVER)


async def download(request: Request) -> Response:
    """The file of a work in a format, with Content Credentials in it where they are asked for."""
    format, credentials = (request.query_params.get(name, "") for name in ("format", "credentials"))
    if format not in FORMATS:
        refuse("format", f"one of {', '.join(FORMATS)}, not {format[:40]!r}")
    if credentials not in ("none", "embedded"):
        refuse("credentials", f"none or embedded, not {credentials[:40]!r}")
    link = Link.parse(request.query_params.multi_items())
    artwork = await context_of(request).drawer.draw(link, format, credentials)
    assert artwork.accepted is not None  # `draw` sets it
    name = f"{artwork.accepted.model.replace('@', '-')}-{artwork.id}{SUFFIXES[artwork.media_type][0]}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(artwork.data, media_type=artwork.media_type, headers=headers)


async def code(request: Request) -> Response:
    """The QR code (SVG) of the address of a work's page."""
    query = Link.parse(request.query_params.multi_items()).query
    base = context_of(request).settings.url or f"http://{request.headers['host']}"
    picture = BytesIO()
    try:
        drawn = segno.make(f"{base}/work?{query}", error="l")
    except segno.DataOverflowError:
        refuse("link", "too long for a QR code")
    drawn.save(picture, kind="svg", scale=4, border=4, light="white")
    return Response(picture.getvalue(), media_type="image/svg+xml")


ROUTES: Final = [
    Route("/api/work", work),
    Route("/image/{id}.png", image),
    Route("/download", download),
    Route("/code.svg", code),
]
