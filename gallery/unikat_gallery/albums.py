"""Albums: works that a visitor puts together. Who has the address of an album sees it; only its visitor changes it."""

from __future__ import annotations

import secrets
from typing import Any, Final

from google.rpc.code_pb2 import Code
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_not
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from unikat_gallery.context import context_of, visitor_of
from unikat_gallery.favourites import body, given, room_for, tile
from unikat_gallery.problems import refuse
from unikat_gallery.tables import ALBUM_WORKS, ALBUMS

MOST: Final = 100  # of one visitor
MOST_WORKS: Final = 500  # of one album
LONGEST_TITLE: Final = 120


async def listed(request: Request) -> JSONResponse:
    """A visitor's albums: titles, numbers of works, and the first few of them."""
    visitor = request.state.visitor

    def read(db: Connection) -> list[dict[str, Any]]:
        count = select(func.count()).where(ALBUM_WORKS.c.album == ALBUMS.c.id).scalar_subquery()
        rows = db.execute(select(ALBUMS.c.id, ALBUMS.c.title, count.label("count")).where(ALBUMS.c.visitor == visitor))
        return [
            {"id": row.id, "title": row.title, "count": row.count, "works": works_of(db, row.id, 4)} for row in rows
        ]

    return JSONResponse({"albums": await context_of(request).read(read)})


async def create(request: Request) -> JSONResponse:
    """A new album."""
    visitor, title = visitor_of(request), _title(await body(request))
    row = {"id": secrets.token_hex(8), "visitor": visitor, "title": title}

    def make(db: Connection) -> None:
        room_for(db, ALBUMS, ALBUMS.c.visitor == visitor, MOST, "albums")
        db.execute(insert(ALBUMS).values(row))

    await context_of(request).write(make)
    return JSONResponse({"id": row["id"], "title": title, "count": 0, "works": []}, 201)


async def show(request: Request) -> JSONResponse:
    """An album with its works; `mine`: whether the visitor may change it."""
    id, visitor = request.path_params["id"], request.state.visitor

    def read(db: Connection) -> dict[str, Any]:
        row = found(db, id)
        return {"id": id, "title": row["title"], "mine": row["visitor"] == visitor, "works": works_of(db, id)}

    return JSONResponse(await context_of(request).read(read))


async def rename(request: Request) -> JSONResponse:
    """Another title."""
    id, title = request.path_params["id"], _title(await body(request))

    def change(db: Connection) -> None:
        _own(db, request)
        db.execute(update(ALBUMS).where(ALBUMS.c.id == id).values(title=title))

    await context_of(request).write(change)
    return JSONResponse({"id": id, "title": title})


async def forget(request: Request) -> JSONResponse:
    """No such album any more."""
    id = request.path_params["id"]

    def change(db: Connection) -> None:
        _own(db, request)
        db.execute(delete(ALBUM_WORKS).where(ALBUM_WORKS.c.album == id))
        db.execute(delete(ALBUMS).where(ALBUMS.c.id == id))

    await context_of(request).write(change)
    return JSONResponse({})


async def add(request: Request) -> JSONResponse:
    """Put a work into an album; twice is as good as once."""
    id = request.path_params["id"]
    work, recipe = given(await body(request))

    def put(db: Connection) -> None:
        _own(db, request)
        room_for(db, ALBUM_WORKS, ALBUM_WORKS.c.album == id, MOST_WORKS, "album")
        row = {"album": id, "work": work, "recipe": recipe}
        db.execute(insert_or_not(ALBUM_WORKS).values(row).on_conflict_do_nothing())

    await context_of(request).write(put)
    return JSONResponse(tile(work, recipe), 201)


async def remove(request: Request) -> JSONResponse:
    """Take a work out of an album."""
    id, work = request.path_params["id"], request.path_params["work"]

    def take(db: Connection) -> None:
        _own(db, request)
        db.execute(delete(ALBUM_WORKS).where(ALBUM_WORKS.c.album == id, ALBUM_WORKS.c.work == work))

    await context_of(request).write(take)
    return JSONResponse({})


def found(db: Connection, id: str) -> dict[str, str]:
    """An album's title and visitor. Raises NotFound."""
    row = db.execute(select(ALBUMS.c.title, ALBUMS.c.visitor).where(ALBUMS.c.id == id)).one_or_none()
    if row is None:
        refuse("album", "there is no such album", Code.NOT_FOUND)
    return {"title": row.title, "visitor": row.visitor}


def works_of(db: Connection, id: str, most: int = MOST_WORKS) -> list[dict[str, Any]]:
    """The works of an album, in the order in which they were put into it."""
    chosen = select(ALBUM_WORKS.c.work, ALBUM_WORKS.c.recipe).where(ALBUM_WORKS.c.album == id)
    return [tile(row.work, row.recipe) for row in db.execute(chosen.order_by(ALBUM_WORKS.c.id).limit(most))]


def _own(db: Connection, request: Request) -> None:
    """Raises InvalidRequest for an album that is somebody else's."""
    if found(db, request.path_params["id"])["visitor"] != visitor_of(request):
        refuse("album", "only who made it can change it", Code.FAILED_PRECONDITION)


def _title(said: dict[str, Any]) -> str:
    title = said.get("title")
    if not (isinstance(title, str) and title.strip() and len(title) <= LONGEST_TITLE and title.isprintable()):
        refuse("title", f"one line of 1 to {LONGEST_TITLE} characters")
    return title.strip()


ROUTES: Final = [
    Route("/api/albums", listed, methods=["GET"]),
    Route("/api/albums", create, methods=["POST"]),
    Route("/api/albums/{id}", show, methods=["GET"]),
    Route("/api/albums/{id}", rename, methods=["PATCH"]),
    Route("/api/albums/{id}", forget, methods=["DELETE"]),
    Route("/api/albums/{id}/works", add, methods=["POST"]),
    Route("/api/albums/{id}/works/{work}", remove, methods=["DELETE"]),
]
