"""Calls over HTTP as programs make them, and what is in the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from email.parser import BytesParser
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import cast

from tests.end_to_end.stack import Stack
from tests.gallery.site import Site
from tests.support.processes import free_port, spawn

SIX = {"model": "tiny@1", "seed": "7", "count": 6, "conditions": [{"attribute": "style", "category": "ink"}]}


def ask(
    port: int, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[HTTPResponse, bytes]:
    """The response and its whole body; what is no bytes is sent as JSON. Nothing says that it is a browser."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, dict(headers or {}))
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def post(site: Site, path: str, body: object, accept: str = "", **headers: str) -> tuple[HTTPResponse, bytes]:
    said = ({"Accept": accept} if accept else {}) | {name.replace("_", "-"): text for name, text in headers.items()}
    return ask(site.port, "POST", path, body, said)


def parts_in(response: HTTPResponse, content: bytes) -> list[Message]:
    """The parts of an answer, by a reader that is not ours."""
    head = f"Content-Type: {response.getheader('content-type')}\r\n\r\n".encode()
    return cast(list[Message], BytesParser().parsebytes(head + content).get_payload())


def status_of(response: HTTPResponse, content: bytes) -> tuple[int, list[str], str]:
    """HTTP status, fields and message of an error."""
    said = json.loads(content)
    bad = [each for each in said["details"] if each["@type"].endswith("google.rpc.BadRequest")]
    return response.status, [each["field"] for of in bad for each in of["fieldViolations"]], said["message"]


@contextmanager
def gallery_before(stack: Stack, folder: Path, **settings: str) -> Iterator[int]:
    """A gallery of its own; its port."""
    port = free_port()
    environment = {
        "UNIKAT_TARGET": stack.target,
        "UNIKAT_GALLERY_LISTEN": f"127.0.0.1:{port}",
        "UNIKAT_GALLERY_DATABASE": str(folder / "gallery.db"),
    }
    with spawn("unikat_gallery", env=environment | settings, ready="gallery ready"):
        yield port
