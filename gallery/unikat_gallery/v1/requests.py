"""What a program asks for over HTTP: the contract's message, who asks, and in which form it wants the answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn, TypeVar, cast
from uuid import uuid4

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from starlette.requests import Request

from unikat.bundle import MAX_LATENT
from unikat.conditions import choose_from
from unikat.errors import Reason, error_of, make_status
from unikat.json_text import parse_json
from unikat.link import Link
from unikat.recipes.mix import MAX_POINTS
from unikat.v1.studio_pb2 import GenerateRequest, ImageFormat
from unikat_gallery.context import context_of
from unikat_gallery.favourites import bounded
from unikat_gallery.problems import refuse

M = TypeVar("M", bound=Message)

MOST_BYTES: Final = 2**20  # of a body, as of the message
EVENTS, PARTS, JSON = "text/event-stream", "multipart/mixed", "application/json"
FORMATS: Final = {
    "image/png": ImageFormat.IMAGE_FORMAT_PNG,
    "image/webp": ImageFormat.IMAGE_FORMAT_WEBP,
    "image/jpeg": ImageFormat.IMAGE_FORMAT_JPEG,
}
ANY_IMAGE: Final = "image/*"
LAST_EVENT: Final = "last-event-id"

_BEARER: Final = "bearer "
_PLACE: Final = re.compile(r'\bat "?[A-Z][A-Za-z]+((?:\.[^"\s]+)?)')  # as protobuf's reader writes it
_FIELD: Final = re.compile(r"Failed to parse (\S+) field: ")
_UNKNOWN: Final = re.compile(r'has no field named "([^"]*)"')
_QUALITY: Final = re.compile(r"q=(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")


async def message_of(request: Request, kind: type[M]) -> tuple[M, frozenset[str]]:
    """The message that the body is, and the names of its fields as they were written. Raises InvalidRequest."""
    # In a thread: protobuf's reader takes seconds for a body that is full of numbers.
    return await asyncio.to_thread(parsed, await bounded(request, MOST_BYTES, "body"), kind)


def parsed(data: bytes, kind: type[M]) -> tuple[M, frozenset[str]]:
    """The message that a JSON text is, and the names of its fields as they were written.

    Raises InvalidRequest for what is no JSON object, or has a field that the message has not, by its name.
    """
    try:
        found = parse_json(data)
    except ValueError as error:
        refuse("body", f"must be a JSON object: {error}")
    if not isinstance(found, dict):
        refuse("body", "must be a JSON object")
    _check_lengths(found)
    message = kind()
    try:
        ParseDict(found, message)
    except (ParseError, ValueError, TypeError, AttributeError) as error:
        _refuse_field(kind, str(error))
    return message, frozenset(found)


def _check_lengths(found: dict[str, Any]) -> None:
    """Raises InvalidRequest for a list that the service takes from nobody: protobuf's reader needs 10 µs an entry."""
    waiting = list(found.items())
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{path}.{name}"[:200], each) for name, each in value.items()]
        elif isinstance(value, list) and value:
            has_messages = isinstance(value[0], dict)
            most = MAX_POINTS if has_messages else MAX_LATENT
            if len(value) > most:
                refuse(path[:200], f"must be at most {most}, not {len(value)}")
            waiting += [(f"{path}[{i}]", each) for i, each in enumerate(value)] if has_messages else []


def _refuse_field(kind: type[Message], said: str) -> NoReturn:
    """Raises InvalidRequest with the field that protobuf's reader names, and what there is."""
    place, unknown = _PLACE.search(said), _UNKNOWN.search(said)
    path = (place[1].strip(".") if place else "") or ".".join(_FIELD.findall(said))
    holder, field = _at(cast(Descriptor, kind.DESCRIPTOR), path)
    if unknown:
        known = [] if holder is None else [each.json_name for each in holder.fields]
        name = f"{path}.{unknown[1]}" if path else unknown[1]
        refuse(name[:200], f"there is no such field; {choose_from(known, unknown[1])}")
    text = f"cannot be read: {_FIELD.sub('', said).splitlines()[0][:200].rstrip('.')}"
    if field is not None and field.enum_type is not None:
        text += f"; {choose_from((value.name for value in field.enum_type.values), '')}"
    refuse(path[:200] or "body", text)


def _at(message: Descriptor, path: str) -> tuple[Descriptor | None, FieldDescriptor | None]:
    """The message at a path, where one is there, and the field of the last name."""
    holder: Descriptor | None = message
    field: FieldDescriptor | None = None
    for name in filter(None, path.split(".")):
        bare = name.partition("[")[0]
        fields = () if holder is None else holder.fields
        field = next((each for each in fields if bare in (each.name, each.json_name)), None)
        holder = None if field is None else field.message_type
    return holder, field


def repeatable(request: GenerateRequest) -> GenerateRequest:
    """The request with a request_id, so that it goes on as the same job where the service is lost meanwhile."""
    if not (request.request_id or request.HasField("after_index")):  # which needs one, and the service says so
        request.request_id = str(uuid4())
    return request


def resumed(http: Request, request: GenerateRequest) -> GenerateRequest | None:
    """The request without the images that the caller has, as it says by Last-Event-ID; None where it has all.

    Raises InvalidRequest for one that has other images each time, and for an index that it has not.
    """
    last = http.headers.get(LAST_EVENT)
    if last is None:
        return request
    first, end = request.first_index, request.first_index + request.count
    if not (last.isdecimal() and len(last) < 12 and first <= int(last) < end):
        refuse(LAST_EVENT, f"must be the index of an image of this request, {first} to {end - 1}, not {last[:40]!r}")
    if request.request_id:
        request.after_index = int(last)
        return request
    if not _is_fixed(request):
        text = "needs a request with a seed, a recipe (whose mutation, if any, has a seed), a walk or a request_id"
        refuse(LAST_EVENT, f"{text}: others draw new images")
    request.first_index, request.count = int(last) + 1, end - int(last) - 1
    return request if request.count else None


def _is_fixed(request: GenerateRequest) -> bool:
    """Whether it has the same images each time."""
    if request.HasField("recipe"):
        return not request.recipe.HasField("mutation") or request.recipe.mutation.HasField("seed")
    return request.HasField("seed") or request.HasField("walk")


def link_of(http: Request) -> Link:
    """The connection to the service for whoever asks: with the caller's own token, or the gallery's.

    Raises UnikatError for what is no token, and for one that would be sent in plaintext.
    """
    link = context_of(http).studio.link
    shown = http.headers.getlist("authorization")
    if not shown:
        return link
    if len(shown) > 1 or not shown[0].lower().startswith(_BEARER) or not shown[0][len(_BEARER) :].strip():
        text = "authorization must be one `Bearer unikat_...`, or left out"
        raise error_of(make_status(Code.UNAUTHENTICATED, text, Reason.UNAUTHENTICATED))
    try:
        return link.showing(shown[0][len(_BEARER) :])
    except ValueError as error:
        raise error_of(make_status(Code.UNAUTHENTICATED, str(error), Reason.UNAUTHENTICATED)) from error


def chosen(http: Request, offered: Sequence[str]) -> str:
    """The media type that the caller likes best of those offered; the first, where it does not say.

    Raises InvalidRequest where it takes none of them.
    """
    said = ", ".join(http.headers.getlist("accept")) or "*/*"
    ranked: list[tuple[float, str]] = []
    for part in said.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((found[1] for each in parameters if (found := _QUALITY.fullmatch(each))), "1")
        ranked.append((-float(quality), name))
    for quality, name in sorted(ranked, key=lambda pair: pair[0]):
        wanted = [each for each in offered if name in (each, "*/*", each.partition("/")[0] + "/*")]
        if wanted and quality:
            return ANY_IMAGE if name == ANY_IMAGE and ANY_IMAGE in offered else wanted[0]
    return refuse("accept", f"must take one of {', '.join(offered)}, not {said[:80]!r}")


def set_format(request: GenerateRequest, media_type: str) -> None:
    """Ask for images of a media type, `ANY_IMAGE` being whatever the request says.

    Raises InvalidRequest where the request says another.
    """
    if media_type == ANY_IMAGE:
        return
    wanted = FORMATS[media_type]
    if request.format and request.format != wanted:
        names = ImageFormat.Name(request.format), media_type
        refuse("format", f"is {names[0]}, and accept asks for {names[1]}: say the same, or one of them")
    request.format = wanted
