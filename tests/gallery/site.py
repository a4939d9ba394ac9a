"""A gallery before a whole stack, and visitors that speak HTTP to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from PIL import Image

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program, free_port
from tests.support.tiny_model import write_tiny_bundle

CLAIMS = 6  # of one visitor, an hour
VERIFICATIONS = 20  # the same


class Site:
    """A gallery, which can be stopped and started again at the same address."""

    def __init__(self, stack: Stack, folder: Path, registry: str = "", metrics: str = "") -> None:
        """`registry` is the address of one, `metrics` where to serve numbers; "" for none."""
        self.stack = stack
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.database = folder / "gallery.db"
        self.artist = folder / "artist"  # folder of the artist's pictures
        self.env = {
            "UNIKAT_TARGET": stack.target,
            "UNIKAT_GALLERY_LISTEN": f"127.0.0.1:{self.port}",
            "UNIKAT_GALLERY_DATABASE": str(self.database),
            "UNIKAT_VOTE_MODEL": "tiny",
            "UNIKAT_ARTIST_PICTURES": str(self.artist),
            "UNIKAT_VISITOR_VOTES": "1000",
            "UNIKAT_GALLERY_CACHE_MB": "1",
            "UNIKAT_REGISTRY": registry,
            "UNIKAT_VISITOR_CLAIMS": str(CLAIMS),
            "UNIKAT_VISITOR_VERIFICATIONS": str(VERIFICATIONS),
            "UNIKAT_METRICS": metrics,
        }
        self.program: Program | None = None

    @contextmanager
    def running(self) -> Iterator[Site]:
        """Until the end of the block."""
        if not self.artist.exists():
            write_artist_pictures(self.artist)
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Returns when it listens."""
        self.program = Program("unikat_gallery", env=self.env)
        self.program.wait_for_line("gallery ready")

    def stop(self) -> None:
        """SIGKILL."""
        if self.program:
            self.program.kill()


@dataclass
class Visitor:
    """Somebody with a cookie of the site."""

    site: Site
    cookie: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def enter(self) -> Visitor:
        """Get the page, and its cookie."""
        response, _ = self.ask("GET", "/")
        self.cookie = (response.getheader("set-cookie") or "").partition(";")[0]
        return self

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        """The response and its whole body; what is no bytes is sent as JSON."""
        connection = HTTPConnection("127.0.0.1", self.site.port, timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        own = {"Cookie": self.cookie} if self.cookie else {}
        own |= {"Origin": self.site.address} if method != "GET" else {}
        connection.request(method, path, data, {**own, **self.headers, **(headers or {})})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def json(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        """The JSON of an answer that is a success."""
        response, content = self.ask(method, path, body)
        assert response.status < 300, content
        return json.loads(content)

    def events(self, path: str, headers: Mapping[str, str] | None = None) -> list[tuple[str, str, Any]]:
        """Name, id and data of all events of a stream."""
        _, content = self.ask("GET", path, headers=headers)
        return events_in(content)


def events_in(content: bytes) -> list[tuple[str, str, Any]]:
    """Name, id and data of each event."""
    found = []
    for block in content.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        if "event" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def write_artist_pictures(folder: Path) -> None:
    """Gradients, so that a program sees which one is in pieces."""
    folder.mkdir()
    for number in range(20):
        Image.radial_gradient("L").rotate(18 * number).resize((60, 40)).save(folder / f"{number}.png")


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """A gallery of the models "tiny" (16 px) and "slow" (32 px with alpha, about 20 ms an image)."""
    write_tiny_bundle(folder / "models", size=16, directions=3)
    write_tiny_bundle(folder / "models", "slow", size=32, alpha=True, work=5000, directions=3)
    with ExitStack() as exits:
        stack = exits.enter_context(running_stack(folder / "models"))
        yield exits.enter_context(Site(stack, folder).running())
