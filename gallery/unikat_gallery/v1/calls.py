"""The methods: generate, draw, models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from unikat.asking import ask
from unikat.delivery import Delivery
from unikat.errors import UnikatError
from unikat.link import Link, Stream
from unikat.resuming import AsyncResuming
from unikat.v1.studio_pb2 import GenerateRequest, GenerateResponse, GetModelRequest, ListModelsRequest
from unikat_gallery.context import context_of
from unikat_gallery.problems import refuse
from unikat_gallery.v1.answers import image_answer, json_answer, nothing_left, refused, stream_answer
from unikat_gallery.v1.requests import (
    ANY_IMAGE,
    EVENTS,
    FORMATS,
    JSON,
    LAST_EVENT,
    PARTS,
    chosen,
    link_of,
    message_of,
    repeatable,
    resumed,
    set_format,
)
from unikat_gallery.works import while_there

GENERATED: Final = (PARTS, EVENTS, ANY_IMAGE, *FORMATS)  # forms of an answer; the first is the default
DRAWN: Final = (ANY_IMAGE, *FORMATS, JSON)
RECONNECT_S: Final = 20.0  # that a call waits for a service that does not answer
ASK_S: Final = 10.0  # that a list of models may take
GONE: Final = 499  # to a caller that hears it no more


class Messages(AsyncResuming[GenerateResponse, GenerateResponse]):
    """The messages of a Generate call, each once, over as many connections as it takes."""

    _talk: _Whole

    def __init__(self, link: Link, request: GenerateRequest) -> None:
        super().__init__(link, _Whole(request, None, RECONNECT_S))

    def _connect(self) -> Stream[GenerateResponse]:
        delivery = self._talk.delivery
        return self._link.begin(self._link.studio.Generate, delivery.next_request(), delivery.remaining)


class _Whole:
    """A `Delivery` that gives the messages themselves."""

    def __init__(self, request: GenerateRequest, timeout: float | None, reconnect_timeout: float) -> None:
        self.delivery = Delivery(request, timeout, reconnect_timeout)

    @property
    def is_complete(self) -> bool:
        return self.delivery.is_complete

    def take(self, response: GenerateResponse) -> GenerateResponse | None:
        again = response.HasField("accepted") and self.delivery.accepted is not None
        self.delivery.take(response)
        return None if again else response

    def pause_after(self, error: UnikatError) -> float:
        return self.delivery.pause_after(error)


class _Streamed:
    """Images as they are drawn. The answer begins when the service has taken the request, so that a refusal is one."""

    def __init__(self, http: Request, request: GenerateRequest, media_type: str) -> None:
        self._http, self._asked, self._media_type = http, request, media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with _room(self._http):
                async with Messages(link_of(self._http), self._asked) as messages:
                    first = await anext(messages)
                    answer = stream_answer(self._media_type, first.accepted, messages)
                    await answer(scope, receive, send)
        except UnikatError as error:  # before it began: what is raised later is part of it
            await refused(error)(scope, receive, send)


async def generate(http: Request) -> ASGIApp:
    """Draw images."""
    media_type = chosen(http, GENERATED)
    request, named = await message_of(http, GenerateRequest)
    if media_type == ANY_IMAGE or media_type in FORMATS:
        return await _drawn(http, request, media_type)
    if "count" not in named:
        request.count = 1
    if http.headers.get(LAST_EVENT) is not None and media_type != EVENTS:
        refuse(LAST_EVENT, f"is for {EVENTS}: say it in accept")
    left = resumed(http, request)
    return nothing_left() if left is None else _Streamed(http, repeatable(left), media_type)


async def draw(http: Request) -> Response:
    """Draw one image."""
    media_type = chosen(http, DRAWN)
    request, _ = await message_of(http, GenerateRequest)
    return await _drawn(http, request, media_type)


async def _drawn(http: Request, request: GenerateRequest, media_type: str) -> Response:
    """One image in one of the forms of an answer. Raises the errors of `unikat.errors`."""
    if media_type != JSON:
        set_format(request, media_type)
    link = link_of(http)
    with _room(http):
        drawing = ask(link, link.studio.Draw, repeatable(request), None, RECONNECT_S)
        artwork = await while_there(http, drawing)
    if artwork is None:
        return Response(status_code=GONE)
    return json_answer(artwork) if media_type == JSON else image_answer(artwork)


async def models(http: Request) -> Response:
    """A page of the models that are served."""
    said, link = http.query_params, link_of(http)
    size = said.get("pageSize", "0")
    if not (size.isdecimal() and len(size) < 9):
        refuse("pageSize", f"must be a whole number, not {size[:40]!r}")
    request = ListModelsRequest(page_size=int(size), page_token=said.get("pageToken", ""))
    found = await ask(link, link.studio.ListModels, request, ASK_S)
    return json_answer(found)


async def model(http: Request) -> Response:
    """One model, complete."""
    link = link_of(http)
    request = GetModelRequest(name=http.path_params["name"])
    found = await ask(link, link.studio.GetModel, request, ASK_S)
    return json_answer(found)


@contextmanager
def _room(http: Request) -> Iterator[None]:
    """A place among the streams of all; an address without a token of its own has as many as a visitor has."""
    has_token = "authorization" in http.headers  # the service's quotas are for it
    who = f"call {id(http)}" if has_token or not http.client else f"address {http.client.host}"
    with context_of(http).streaming(who, "calls"):
        yield
