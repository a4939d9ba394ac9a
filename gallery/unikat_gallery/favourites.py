"""Favourites of a visitor."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

from google.rpc.code_pb2 import Code
from sqlalchemy import ColumnElement, Connection, Table, delete, func, select
from sqlalchemy.dialects.sqlite import insert as insert_or_not
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from unikat_gallery.context import context_of, visitor_of
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse
from unikat_gallery.tables import FAVOURITES

MOST: Final = 2000  # of one visitor
MOST_JSON: Final = 16 * 2**10  # bytes of a request
SENT_WITHIN_S: Final = 60.0  # whoever is slower holds the place of others
_ID: Final = re.compile(r"[0-9a-f]{16}")


async def listed(request: Request) -> JSONResponse:
    """A visitor's favourites, the latest first."""
    visitor = request.state.visitor
    chosen = select(FAVOURITES.c.work, FAVOURITES.c.recipe).where(FAVOURITES.c.visitor == visitor)
    rows = await context_of(request).read(lambda db: db.execute(chosen.order_by(FAVOURITES.c.id.desc())).all())
    return JSONResponse({"works": [tile(row.work, row.recipe) for row in rows]})


async def add(request: Request) -> JSONResponse:
    """Keep a work; twice is as good as once."""
    visitor = visitor_of(request)
    work, recipe = given(await body(request))

    def keep(db: Connection) -> None:
        room_for(db, FAVOURITES, FAVOURITES.c.visitor == visitor, MOST, "favourites")
        row = {"visitor": visitor, "work": work, "recipe": recipe}
        db.execute(insert_or_not(FAVOURITES).values(row).on_conflict_do_nothing())

    await context_of(request).write(keep)
    return JSONResponse(tile(work, recipe), 201)


async def remove(request: Request) -> JSONResponse:
    """Keep a work no longer."""
    visitor, work = visitor_of(request), request.path_params["work"]
    gone = delete(FAVOURITES).where(FAVOURITES.c.visitor == visitor, FAVOURITES.c.work == work)
    await context_of(request).write(lambda db: db.execute(gone))
    return JSONResponse({})


def tile(work: str, recipe: str) -> dict[str, Any]:
    """A kept work as a tile shows it."""
    return {"id": work, "link": recipe, "image": f"/image/{work}.png?{recipe}"}


async def body(request: Request) -> dict[str, Any]:
    """The object that a request brings. Raises InvalidRequest."""
    data = await bounded(request, MOST_JSON, "body")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        refuse("body", f"one JSON object of at most {MOST_JSON} bytes")
    return found


async def bounded(request: Request, most: int, field: str) -> bytes:
    """What a request brings. Raises InvalidRequest for more than `most` bytes, before they are there as a whole."""
    data = bytearray()
    try:
        async with asyncio.timeout(SENT_WITHIN_S):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    refuse(field, f"at most {most} bytes")
    except (ClientDisconnect, TimeoutError):
        refuse(field, f"was not sent as a whole within {SENT_WITHIN_S:.0f} s")
    return bytes(data)


def given(found: dict[str, Any]) -> tuple[str, str]:
    """A work's id and the query of its recipe, as every list of works has them. Raises InvalidRequest."""
    work, recipe = found.get("id"), found.get("link")
    if not (isinstance(work, str) and _ID.fullmatch(work)):
        refuse("id", "the 16 hex digits of an artwork's id")
    if not isinstance(recipe, str):
        refuse("link", "the query of a work's address")
    return work, Link.parse(recipe).query


def room_for(db: Connection, table: Table, which: ColumnElement[bool], most: int, what: str) -> None:
    """Raises InvalidRequest where there are `most` rows already."""
    if (db.scalar(select(func.count()).select_from(table).where(which)) or 0) >= most:
        refuse(what, f"there is room for {most}: remove some first", Code.FAILED_PRECONDITION)


ROUTES: Final = [
    Route("/api/favourites", listed, methods=["GET"]),
    Route("/api/favourites", add, methods=["POST"]),
    Route("/api/favourites/{work}", remove, methods=["DELETE"]),
]
