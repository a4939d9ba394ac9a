"""The operations, declared once: routes, the OpenAPI document and the page about them are made from these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from unikat.errors import Reason, bad_field, error_of
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Artwork, GenerateRequest, ListModelsResponse
from unikat_gallery.v1 import calls
from unikat_gallery.v1.answers import HEADERS, Handler, answering
from unikat_gallery.v1.requests import JSON, LAST_EVENT

PREFIX: Final = "/v1"
_ANY: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Operation:
    """A method and a path below `PREFIX`, with what it takes and gives.

    `body` is the message of the request, `answers` are media types, with their message where that is JSON;
    `parameters` are those of the query, `example` is what follows `curl` and the address.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answers: Mapping[str, type[Message] | None]
    body: type[Message] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    example: str = ""


_WISH: Final = (
    """-d '{"model": "portraits", "seed": "7"%s, "conditions": [{"attribute": "style", "category": "micah"}]}'"""
)
_TOKEN: Final = {"Authorization": "`Bearer unikat_...`: whose call it is. Left out, it is the gallery's."}

OPERATIONS: Final = (
    Operation(
        "POST", "/generate", "generate",
        "Draw images. They come as they are drawn: as parts of one answer, with headers that say what each is, or as "
        "server-sent events `accepted`, `artwork` (or `refused`), `finished`, `error`, each image as base64. A caller "
        "that was cut off sends the same request with `Last-Event-ID`, the index of the last image that it has. An "
        "image alone is asked for as `image/png`, `image/webp` or `image/jpeg`.",
        calls.generate, dict.fromkeys(calls.GENERATED), GenerateRequest,
        headers=_TOKEN | {"Last-Event-ID": "Index of the last image that the caller has, of a stream of events."},
        example="-N -H 'Accept: text/event-stream' " + _WISH % ', "count": 4',
    ),
    Operation(
        "POST", "/draw", "draw",
        "Draw one image: its file, or as JSON the artwork, with the image as base64 and the request as resolved.",
        calls.draw, dict.fromkeys(calls.DRAWN) | {JSON: Artwork}, GenerateRequest,
        headers=_TOKEN, example="-o portrait.png " + _WISH % "",
    ),
    Operation(
        "GET", "/models", "listModels", "The models that are served, newest version first, without their combinations.",
        calls.models, {JSON: ListModelsResponse},
        parameters={"pageSize": "At most so many; 0 is 50.", "pageToken": "`nextPageToken` of the page before."},
        headers=_TOKEN,
    ),
    Operation(
        "GET", "/models/{name}", "getModel", "One model, complete: by its name, or as name@version.",
        calls.model, {JSON: Model}, headers=_TOKEN,
    ),
)  # fmt: skip


async def _missing(request: Request) -> ASGIApp:
    """NOT_FOUND, with what there is."""
    there = ", ".join(f"{each.method} {PREFIX}{each.path}" for each in OPERATIONS)
    text = f"there is no {request.method} {request.url.path[:80]}; there are {there}"
    raise error_of(bad_field("path", text, Code.NOT_FOUND, Reason.BAD_FIELD))


def mount(origins: frozenset[str]) -> Mount:
    """The routes; pages of `origins` may call them from a browser."""
    routes = [Route(each.path, answering(each.handler), methods=[each.method]) for each in OPERATIONS]
    cors = Middleware(
        CORSMiddleware, allow_origins=sorted(origins), allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", LAST_EVENT], expose_headers=[*HEADERS, "Retry-After"],
    )  # fmt: skip
    missing = Route("/{path:path}", answering(_missing), methods=_ANY)
    return Mount(PREFIX, routes=[*routes, missing], middleware=[cors] if origins else [])
