"""What is answered over HTTP: an image, parts or events as they are drawn, JSON, and errors as JSON."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp

from unikat.artwork import SUFFIXES
from unikat.errors import UnikatError
from unikat.v1.studio_pb2 import Accepted, Artwork, GenerateResponse
from unikat_gallery.problems import STATUSES
from unikat_gallery.v1.requests import EVENTS, PARTS
from unikat_gallery.walls import EVENTS as EVENT_HEADERS
from unikat_gallery.walls import RETRY, event

# Headers of an image, of a part with one, and of an answer of several.
HEADERS: Final = {
    "Unikat-Index": "Index of the image.",
    "Unikat-Id": "The first 16 hex digits of the digest.",
    "Unikat-Digest": "SHA-256 of what the artwork is a pure function of, in hex.",
    "Unikat-Model": "The model that drew it, as name@version.",
    "Unikat-Seed": "Seed, as given or picked; 0 where a recipe or a walk was asked for.",
    "Unikat-Job": "The job's id.",
}

Messages = AsyncIterator[GenerateResponse]
Handler = Callable[[Request], Awaitable[ASGIApp]]  # an answer, which is an application of one request


def as_json(message: Message) -> dict[str, Any]:
    """A message in protobuf's JSON form, numbers that are 0 and texts that are empty included."""
    found: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return found


def json_answer(message: Message) -> JSONResponse:
    """A message."""
    return JSONResponse(as_json(message))


def refused(error: UnikatError) -> JSONResponse:
    """An error as `google.rpc.Status` in JSON."""
    headers = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    if error.code is grpc.StatusCode.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(as_json(error.status), STATUSES.get(error.code, 500), headers)


def answering(handler: Handler) -> Handler:
    """A handler whose errors are answered as `refused` says."""

    async def handle(request: Request) -> ASGIApp:
        try:
            return await handler(request)
        except UnikatError as error:
            return refused(error)

    return handle


def image_answer(artwork: Artwork) -> Response:
    """An image alone."""
    headers = _of_image(artwork) | _of_call(artwork.accepted)
    headers["Content-Disposition"] = f'inline; filename="{_name(artwork, artwork.accepted)}"'
    return Response(artwork.image, media_type=artwork.media_type, headers=headers)


def stream_answer(media_type: str, accepted: Accepted, messages: Messages) -> StreamingResponse:
    """Images as they are drawn, as parts or as events. What goes wrong on the way is the last of them."""
    if media_type == EVENTS:
        return StreamingResponse(_events(accepted, messages), headers=EVENT_HEADERS | _of_call(accepted))
    boundary = f"unikat-{secrets.token_hex(12)}"
    headers = {"content-type": f"{PARTS}; boundary={boundary}", "x-accel-buffering": "no"} | _of_call(accepted)
    return StreamingResponse(_parts(accepted, messages, boundary.encode()), headers=headers)


def nothing_left() -> Response:
    """To a caller that has all images: the end of its stream."""
    return Response(RETRY + event("finished", {}), headers=EVENT_HEADERS)


async def _events(accepted: Accepted, messages: Messages) -> AsyncIterator[str]:
    yield RETRY
    yield event("accepted", as_json(accepted))
    try:
        async for message in messages:
            name = message.WhichOneof("event") or "unknown"
            content = getattr(message, name)
            yield event(name, as_json(content), content.index if name in ("artwork", "refused") else None)
    except UnikatError as error:
        yield event("error", as_json(error.status))


async def _parts(accepted: Accepted, messages: Messages, boundary: bytes) -> AsyncIterator[bytes]:
    try:
        async for message in messages:
            if message.HasField("artwork"):
                artwork = message.artwork
                headers = _of_image(artwork) | {"Content-Disposition": f'inline; filename="{_name(artwork, accepted)}"'}
                yield _part(boundary, artwork.media_type, artwork.image, headers)
            elif message.HasField("refused"):
                index = {"Unikat-Index": str(message.refused.index)}
                yield _part(boundary, "application/json", _body(message.refused), {"Unikat-Event": "refused"} | index)
    except UnikatError as error:
        yield _part(boundary, "application/json", _body(error.status), {"Unikat-Event": "error"})
    yield b"--" + boundary + b"--\r\n"


def _part(boundary: bytes, media_type: str, content: bytes, headers: Mapping[str, str]) -> bytes:
    every = {"Content-Type": media_type, "Content-Length": str(len(content)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in every.items())
    return b"--" + boundary + b"\r\n" + head.encode() + b"\r\n" + content + b"\r\n"


def _body(message: Message) -> bytes:
    return bytes(JSONResponse(as_json(message)).body)


def _of_image(artwork: Artwork) -> dict[str, str]:
    return {"Unikat-Index": str(artwork.index), "Unikat-Id": artwork.id, "Unikat-Digest": artwork.digest.hex()}


def _of_call(accepted: Accepted) -> dict[str, str]:
    return {"Unikat-Model": accepted.model, "Unikat-Seed": str(accepted.seed), "Unikat-Job": accepted.job_id}


def _name(artwork: Artwork, accepted: Accepted) -> str:
    return f"{accepted.model.replace('@', '-')}-{artwork.id}{SUFFIXES[artwork.media_type][0]}"
