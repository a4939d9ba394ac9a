"""`python -m benchmarks gallery`: what visitors of the gallery wait for, alone and when there are many of them."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.request import urlopen

import typer
from playwright.sync_api import Page

from benchmarks.figures import ROOT, machine, newest, percentile, write
from benchmarks.peers.usage import pss_mib
from tests.end_to_end.stack import running_stack
from tests.support.chromium import running_browser
from tests.support.processes import Program, free_port

WORKS: Final = 48  # of a wall: what the page asks for at once
AT_ONCE: Final = 6  # images that a browser fetches from one host at the same time
MOVES: Final = 6  # of a slider, after each click
PAUSE_S: Final = 0.15  # between two moves
LOOK_S: Final = (5.0, 15.0)  # that somebody looks at a wall before the next click; alone 0.5
WARM: Final = 3  # clicks that are not counted
HEADER: Final = (
    "| | first image of a wall, p50 ms | p95 ms | a slider's move, p50 ms | p95 ms | clicks | moves |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)
STEP_PX: Final = 24  # that a page is scrolled by from frame to frame
# Milliseconds between the frames while a page is scrolled, until just before more works would be drawn.
SCROLL: Final = """async (pixels) => {
  const taken = [];
  scrollTo(0, 0);
  const end = document.documentElement.scrollHeight - innerHeight - 1500;
  let last = await new Promise(requestAnimationFrame);
  while (scrollY < end) {
    scrollBy(0, pixels);
    const now = await new Promise(requestAnimationFrame);
    taken.push(now - last);
    last = now;
  }
  return taken;
}"""


@dataclass
class Waits:
    """Seconds that visitors waited."""

    clicks: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)

    def row(self, who: str) -> str:
        """A row of the table."""
        cells = [f"{1000 * percentile(of, p):.0f}" for of in (self.clicks, self.moves) for p in (0.5, 0.95)]
        return f"| {who} | {' | '.join(cells)} | {len(self.clicks)} | {len(self.moves)} |"


@dataclass
class Visitor:
    """A browser without a window: it opens walls, fetches their images, and moves a slider."""

    port: int
    model: str
    direction: str
    waits: Waits
    cookie: str = field(default_factory=lambda: secrets.token_hex(16))
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def visit(self, until: float, look: tuple[float, float]) -> None:
        """Click, look and move a slider until the monotonic time is `until`."""
        while time.monotonic() < until:
            work = await self.click()
            await asyncio.sleep(random.uniform(*look))
            for _ in range(MOVES):
                await self.move(work)
                await asyncio.sleep(PAUSE_S)

    async def click(self) -> dict[str, Any]:
        """Open a wall of a new seed, with all its images; one of its works."""
        began = time.perf_counter()
        path = f"/api/wall?model={self.model}&seed={secrets.randbits(52)}&index=0&count={WORKS}"
        works: list[dict[str, Any]] = []
        async with self._opened(path) as lines, asyncio.TaskGroup() as images:
            async for name, data in events(lines):
                if name == "problem":
                    raise RuntimeError(f"the wall was refused: {data['message']}")
                if name == "work":
                    works.append(data)
                    images.create_task(self._see(data, began if len(works) == 1 else None))
        return works[0]

    async def _see(self, work: dict[str, Any], began: float | None) -> None:
        async with self.room, self._opened(work["image"]) as body:
            assert (await body.read()).startswith(b"\x89PNG")
        if began is not None:
            self.waits.clicks.append(time.perf_counter() - began)

    async def move(self, work: dict[str, Any]) -> None:
        """Move a work along a direction, and see it."""
        began = time.perf_counter()
        said = dict(part.split("=", 1) for part in work["link"].split("&"))
        place = f"seed={said['seed']}&index={said['index']}"
        recipe = f"recipe={said['seed']}:{said['index']},shift:{self.direction}*{random.uniform(-3, 3):.1f}"
        async with self._opened(f"/api/work?{work['link'].replace(place, recipe)}") as body:
            moved = json.loads(await body.read())
        async with self._opened(moved["image"]) as body:
            assert (await body.read()).startswith(b"\x89PNG")
        self.waits.moves.append(time.perf_counter() - began)

    @asynccontextmanager
    async def _opened(self, path: str) -> AsyncIterator[asyncio.StreamReader]:
        """The body of an answer. Raises RuntimeError for one that is no success."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            head = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{self.port}\r\nCookie: unikat_visitor={self.cookie}\r\n\r\n"
            writer.write(head.encode())
            status = (await reader.readuntil(b"\r\n\r\n")).splitlines()[0].decode()
            if " 200 " not in status:
                raise RuntimeError(f"{path}: {status} {(await reader.read())[:200]!r}")
            yield reader
        finally:
            writer.close()


async def events(lines: asyncio.StreamReader) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Name and data of server-sent events, until the stream ends."""
    name = ""
    async for line in lines:
        kind, _, value = line.decode().rstrip("\n").partition(": ")
        if kind == "event":
            name = value
        elif kind == "data":
            yield name, json.loads(value)


def gallery(
    model: Annotated[str, typer.Option(help="Model in the folder of bundles; it needs directions.")] = "portraits",
    models: Annotated[Path, typer.Option(help="Folder of bundles.")] = ROOT / "models",
    visitors: Annotated[int, typer.Option(help="Browsers at the same time.", min=2, max=64)] = 50,
    seconds: Annotated[float, typer.Option(help="How long they stay.", min=1)] = 120.0,
    clicks: Annotated[int, typer.Option(help="Walls that one visitor alone opens.", min=1)] = 30,
    works: Annotated[int, typer.Option(help="Works of the wall that is scrolled.", min=WORKS, max=1200)] = 1008,
    to_readme: Annotated[bool, typer.Option("--write", help="Put the table into benchmarks/README.md.")] = False,
) -> None:
    """One service, worker and gallery, and scripted browsers, all on this machine; then Chromium scrolls a wall."""
    bundle = newest(models, model)
    folder = tempfile.TemporaryDirectory()
    # A variable that the interpreter reads keeps service and worker from being forked: the memory is all theirs.
    with folder, running_stack(models, fsync="no", PYTHONDONTWRITEBYTECODE="1") as stack:
        port = free_port()
        env = {
            "UNIKAT_TARGET": stack.target,
            "UNIKAT_GALLERY_LISTEN": f"127.0.0.1:{port}",
            "UNIKAT_GALLERY_DATABASE": f"{folder.name}/gallery.db",
        }
        with Program("unikat_gallery", env=env) as program:
            program.wait_for_line("gallery ready")
            assert stack.service is not None
            pids = {"gallery": program.process.pid, "service": stack.service.process.pid}
            lines = [*asyncio.run(load(port, model, visitors, seconds, clicks, pids)), "", scrolled(port, model, works)]
    lines += ["", f"{machine(bundle)}; the scripted browsers ran on the same cores."]
    print("\n".join(lines))
    if to_readme:
        write("gallery", lines)


async def load(port: int, model: str, visitors: int, seconds: float, clicks: int, pids: dict[str, int]) -> list[str]:
    """The table, and the memory of gallery and service before and after."""
    direction = await asyncio.to_thread(strongest_direction, port, model)
    for _ in range(WARM):
        await Visitor(port, model, direction, Waits()).click()
    alone, together = Waits(), Waits()
    while len(alone.clicks) < clicks:
        await Visitor(port, model, direction, alone).visit(time.monotonic() + 0.01, (0.5, 0.5))
    before, began = pss_mib(pids), time.monotonic()

    async def one() -> None:
        await asyncio.sleep(random.uniform(0, min(LOOK_S[1], seconds / 2)))
        await Visitor(port, model, direction, together).visit(began + seconds, LOOK_S)

    await asyncio.gather(*(one() for _ in range(visitors)))
    after, taken = pss_mib(pids), time.monotonic() - began
    images = len(together.clicks) * WORKS + len(together.moves)
    memory = ", ".join(f"{name} {before[name]:.0f} → {after[name]:.0f} MiB" for name in pids)
    return [
        *HEADER, alone.row("1 visitor"), together.row(f"{visitors} visitors"), "",
        f"The {visitors} visitors drew {images / taken:.0f} images/s for {taken:.0f} s. Memory (PSS): {memory}.",
    ]  # fmt: skip


def strongest_direction(port: int, model: str) -> str:
    """That of the newest version along which its pictures change most."""
    with urlopen(f"http://127.0.0.1:{port}/api/models", timeout=60) as answer:
        served = [each for each in json.load(answer)["models"] if each["name"] == model]
    directions = max(served, key=lambda each: each["version"])["directions"]
    name: str = max(directions, key=lambda each: each.get("strength", 0))["name"]
    return name


def scrolled(port: int, model: str, works: int) -> str:
    """Frames a second while Chromium scrolls a wall of so many works from its beginning to its end."""
    with running_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://127.0.0.1:{port}/?model={model}&seed=7")
        held = filled(page, works)
        taken = [each / 1000 for each in page.evaluate(SCROLL, STEP_PX)]
    median, worst = percentile(taken, 0.5), percentile(taken, 0.99)
    return (
        f"Chromium scrolled a wall of {held:,} works ({STEP_PX} px a frame, {len(taken):,} frames): "
        f"{1 / median:.0f} frames/s by the median, {1 / worst:.0f} by the slowest 1% ({1000 * worst:.0f} ms)."
    )


def filled(page: Page, works: int) -> int:
    """Scroll until so many works hang, and none is being drawn; how many there are."""
    hung = page.locator(".wall .tile img")
    while hung.count() < works:
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(200)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_load_state("networkidle")
    return hung.count()
