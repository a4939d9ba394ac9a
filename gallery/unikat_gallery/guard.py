"""What stands before every request: which sites may ask, who asks, and what a browser may do with the answer."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unikat.errors import error_of
from unikat.trace_context import HEADER, carried, valid
from unikat_gallery.v1.answers import refused

COOKIE: Final = "unikat_visitor"
_VISITOR: Final = re.compile(r"[0-9a-f]{32}")
_YEAR_S: Final = 365 * 24 * 3600
PROGRAMS: Final = "/v1/"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE: Final = frozenset({"GET", "HEAD"})
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # an address of ours is a recipe
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware. `url` is where people reach the gallery; "": this machine's own names only.

    What is below `PROGRAMS` is for programs as well, which say no origin, and for pages of `origins`.
    """

    def __init__(self, app: ASGIApp, url: str = "", origins: frozenset[str] = frozenset()) -> None:
        self._app = app
        parts = urlsplit(url)
        # A page elsewhere whose name resolves to this machine (DNS rebinding) says its own name as Host.
        self._hosts = _LOOPBACK if parts.hostname in {None, *_LOOPBACK} else frozenset({str(parts.hostname)})
        self._is_https = parts.scheme == "https"
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        visitor = _visitor(HTTPConnection(scope).cookies)
        scope.setdefault("state", {})["visitor"] = visitor
        carried.set(valid(headers.get(HEADER)))  # of the calls that the gallery makes for it

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), visitor)
            await send(message)

        reason = self._refused(scope, headers)
        if reason:
            answer = (
                refused(error_of(Status(code=Code.PERMISSION_DENIED, message=reason)))
                if is_of_programs(scope)
                else JSONResponse({"message": reason, "fields": {}}, 403)
            )
            await answer(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _refused(self, scope: Scope, headers: Headers) -> str:
        """Why a request is not answered, or ""."""
        host = urlsplit(f"//{headers.get('host', '')}").hostname
        if host not in self._hosts:
            return f"This gallery is reached as {', '.join(sorted(self._hosts))}; --url says another name."
        origin = headers.get("origin")
        if is_of_programs(scope):
            return self._refused_program(headers, origin)
        if scope["method"] not in _SAFE or origin is not None:
            given = urlsplit(origin or "").netloc
            if given != headers.get("host") and (origin or headers.get("sec-fetch-site") != "same-origin"):
                return "Another site may not change or read anything here."
        if headers.get("sec-fetch-site", "none") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return "Another site may link to this gallery, and may not load its parts."
        return ""

    def _refused_program(self, headers: Headers, origin: str | None) -> str:
        """The same of what is below `PROGRAMS`: a browser says where a page is from that sends a request."""
        if origin is None:
            is_of_page = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
            return "Another site may not call this one." if is_of_page else ""
        if origin in self._origins or urlsplit(origin).netloc == headers.get("host"):
            return ""
        return f"Pages of {origin[:80]} may not call this site: --cors-origins names those that may."

    def _add_headers(self, headers: MutableHeaders, visitor: str) -> None:
        for name, value in _HEADERS.items():
            headers[name] = value
        headers.setdefault("cache-control", "no-store")
        if not visitor and headers.get("content-type", "").startswith("text/html"):
            secure = "; Secure" if self._is_https else ""
            headers.append(
                "set-cookie",
                f"{COOKIE}={secrets.token_hex(16)}; Max-Age={_YEAR_S}; Path=/; HttpOnly; SameSite=Lax{secure}",
            )


def is_of_programs(scope: Scope) -> bool:
    """Whether a request is for what programs call."""
    return str(scope["path"]).startswith(PROGRAMS)


def _visitor(cookies: Mapping[str, str]) -> str:
    """Read as browsers do: a strange cookie of another program on this machine hides none."""
    found = cookies.get(COOKIE, "")
    return found if _VISITOR.fullmatch(found) else ""
