"""The OpenAPI document, and a page that shows it with examples for curl."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.metadata import version
from typing import Any, Final

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from unikat.v1.studio_pb2 import GenerateRequest
from unikat_gallery.context import context_of
from unikat_gallery.problems import STATUSES
from unikat_gallery.v1.answers import HEADERS
from unikat_gallery.v1.operations import OPERATIONS, PREFIX, Operation
from unikat_gallery.v1.requests import EVENTS, JSON, PARTS
from unikat_gallery.v1.schema import comments, descriptor_of, reference, schemas_of

ABOUT: Final = (
    "Draws one-of-a-kind artworks by condition. Bodies are messages of unikat.v1 in protobuf's JSON form; of a request "
    "names may be in snake_case, too. It has at most 1 MiB, and a field that it has not is refused."
)
_STATUS: Final[dict[str, Any]] = {
    "type": "object",
    "description": "google.rpc.Status: what was wrong, with details such as google.rpc.BadRequest, which names fields.",
    "properties": {
        "code": {"type": "integer", "description": "google.rpc.Code."},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object", "properties": {"@type": {"type": "string"}}}},
    },
    "required": ["code", "message"],
}
_WORDS: Final = {400: "The request cannot be served; fields that are wrong are named.", 429: "Come back later."}


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    messages = [m for each in OPERATIONS for m in (each.body, *each.answers.values()) if m is not None]
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(PREFIX + each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Unikat", "version": version("unikat"), "description": ABOUT},
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas_of(messages) | {"Status": _STATUS},
            "responses": {"error": {"description": "What was wrong.", "content": _content(JSON, "Status")}},
        },
    }


def _operation(each: Operation) -> dict[str, Any]:
    named = [part[1:-1] for part in each.path.split("/") if part.startswith("{")]
    parameters = [_parameter(name, "path", "", required=True) for name in named]
    parameters += [_parameter(name, "query", text) for name, text in each.parameters.items()]
    parameters += [_parameter(name, "header", text) for name, text in each.headers.items() if name != "Authorization"]
    made: dict[str, Any] = {"operationId": each.name, "summary": each.summary.partition(". ")[0].rstrip(".")}
    made |= {"description": each.summary, "parameters": parameters, "responses": _responses(each)}
    if each.body is not None:
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": reference(each.body)}}}
    return made


def _responses(each: Operation) -> dict[str, Any]:
    content = {kind: {"schema": _schema(kind, message)} for kind, message in each.answers.items()}
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()}
    good = {"description": "As asked for.", "content": content} | ({"headers": headers} if each.body else {})
    errors = {str(status): {"$ref": "#/components/responses/error"} for status in sorted({*STATUSES.values(), 500})}
    return {"200": good} | errors


def _schema(kind: str, message: type[Message] | None) -> dict[str, Any]:
    if message is not None:
        return reference(message)
    return {"type": "string"} if kind in (EVENTS, PARTS) else {"type": "string", "contentMediaType": kind}


def _content(kind: str, name: str) -> dict[str, Any]:
    return {kind: {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _parameter(name: str, place: str, text: str, required: bool = False) -> dict[str, Any]:
    made = {"name": name, "in": place, "required": required, "schema": {"type": "string"}}
    return made | ({"description": text} if text else {})


async def _document(_request: Request) -> JSONResponse:
    return JSONResponse(document())


async def _page(request: Request) -> HTMLResponse:
    base = context_of(request).settings.url or f"http://{request.headers['host']}"
    return HTMLResponse(_shell("".join(_section(each, base) for each in OPERATIONS) + _fields(GenerateRequest)))


def _shell(content: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<title>Unikat for programs</title>\n'
        '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">\n'
        '<link rel="stylesheet" href="/static/style.css">\n</head>\n<body>\n'
        '<header class="site"><a class="name" href="/">Unikat</a></header>\n<main id="main" class="api">\n'
        f"<h1>For programs</h1>\n<p>{escape(ABOUT)}</p>\n"
        '<p>The same as <a href="/openapi.json">OpenAPI</a>. What is wrong is answered as JSON, with the fields.</p>\n'
        f"{content}</main>\n</body>\n</html>\n"
    )


def _section(each: Operation, base: str) -> str:
    address = base + PREFIX + each.path.replace("{name}", "portraits")
    answers = ", ".join(f"<code>{escape(kind)}</code>" for kind in each.answers)
    rows = "".join(_row(name, text) for name, text in {**each.parameters, **each.headers}.items())
    return (
        f'<section>\n<h2 id="{each.name}"><code>{each.method} {PREFIX}{escape(each.path)}</code></h2>\n'
        f"<p>{_marked(each.summary)}</p>\n<pre><code>curl {escape(address)} {escape(each.example)}</code></pre>\n"
        f"<p>Answers: {answers}.</p>\n<table>\n{rows}</table>\n</section>\n"
    )


def _fields(kind: type[Message]) -> str:
    message = descriptor_of(kind)
    rows = "".join(_row(each.json_name, comments().get(each.full_name, "")) for each in message.fields)
    return f'<section>\n<h2 id="{message.name}">{message.name}</h2>\n<table>\n{rows}</table>\n</section>\n'


def _row(name: str, text: str) -> str:
    return f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{_marked(text)}</td></tr>\n'


def _marked(text: str) -> str:
    """With `code` between back quotes."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


ROUTES: Final = [Route("/openapi.json", _document), Route("/api", _page)]
