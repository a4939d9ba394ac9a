"""The application: its routes, and the pages, which are one file of HTML and modules that draw into it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from unikat.errors import UnikatError
from unikat_gallery import albums, certificates, exports, favourites, films, pictures, relatives, walls, works
from unikat_gallery.context import Context
from unikat_gallery.guard import Guard
from unikat_gallery.problems import answer
from unikat_gallery.v1 import document, operations
from unikat_gallery.votes import routes as voting

STATIC: Final = Path(__file__).parent / "static"
# Addresses of pages: static/app.js draws each of them.
PAGES: Final = (
    "/",
    "/work",
    "/favourites",
    "/albums",
    "/album/{id}",
    "/compare",
    "/cross",
    "/walk",
    "/verify",
    "/exhibition/{id}",
    "/vote",
    "/taste",
    "/claimed/{id}",
)


def make_app(context: Context) -> Starlette:
    """The application of one process."""
    routes: list[BaseRoute] = [
        *(Route(page, _page) for page in PAGES),
        *walls.ROUTES,
        *works.ROUTES,
        *certificates.ROUTES,
        *relatives.ROUTES,
        *films.ROUTES,
        *favourites.ROUTES,
        *albums.ROUTES,
        *exports.ROUTES,
        *pictures.ROUTES,
        *voting.ROUTES,
        *document.ROUTES,
        operations.mount(context.settings.origins),
        Mount("/static", _Static(directory=STATIC)),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, url=context.settings.url, origins=context.settings.origins)],
        exception_handlers={UnikatError: answer},
    )
    app.state.context = context
    return app


async def _page(_request: Request) -> FileResponse:
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


class _Static(StaticFiles):
    """Modules and styles, which a browser asks for again: another release has others under the same names."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response
