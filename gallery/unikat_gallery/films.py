"""Films: walks from one work to the next, frame by frame as events, and as a WebP file."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Final

from PIL import Image
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from unikat.artwork import Artwork
from unikat.errors import UnikatError
from unikat.film.formats import write_webp
from unikat.film.reel import Film
from unikat.metadata import Derivation
from unikat.recipes.sequence import place_of
from unikat_gallery.context import Context, context_of
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse, shown
from unikat_gallery.relatives import crossed
from unikat_gallery.walls import EVENTS, RETRY, event, facts, first_of

MOST_WORKS: Final = 8  # that a walk passes
MOST_FRAMES: Final = 96
SIDE: Final = 256  # pixels that a file has at least: players enlarge smaller ones smoothly
_AHEAD: Final = 8  # frames that are drawn at the same time
_ONE_AT_A_TIME: Final = asyncio.Semaphore(1)  # encoding takes a core


async def film(request: Request) -> StreamingResponse:
    """The frames of a walk, each a work, in order. A browser that was cut off goes on after Last-Event-ID."""
    return StreamingResponse(_events(request), headers=EVENTS)


async def _events(request: Request) -> AsyncIterator[str]:
    yield RETRY
    context = context_of(request)
    try:
        with context.streaming(request.state.visitor):
            frames = frames_of(request)
            first = first_of(request, 0, len(frames))
            async for index, artwork in _drawn(context, frames, first):
                assert artwork.accepted is not None  # `draw` sets it
                yield event("work", facts(artwork, artwork.accepted.model) | {"index": index}, index)
            yield event("finished", {})
    except UnikatError as error:
        yield event("problem", shown(error))


def frames_of(request: Request) -> list[Link]:
    """`frames` works on the way past the works `w`, and with `loop=1` back to the first. Raises InvalidRequest.

    A frame's conditions are blended as those of a cross are, so that each of the works is a frame itself.
    """
    said = request.query_params
    works = [Link.parse(query) for query in said.getlist("w")]
    if not 2 <= len(works) <= MOST_WORKS:
        refuse("w", f"2 to {MOST_WORKS} works, not {len(works)}")
    frames = _whole(request, "frames", "48", (len(works), MOST_FRAMES))
    is_loop = said.get("loop") == "1"
    places = [place_of(frame, len(works), frames, is_loop) for frame in range(frames)]
    return [crossed(works[one], works[other], share) if share else works[one] for one, other, share in places]


def _whole(request: Request, name: str, otherwise: str, bounds: tuple[int, int]) -> int:
    text, (least, most) = request.query_params.get(name, otherwise), bounds
    if not (text.isdecimal() and len(text) < 9 and least <= int(text) <= most):
        refuse(name, f"a whole number from {least} to {most}, not {text[:40]!r}")
    return int(text)


async def _drawn(context: Context, frames: list[Link], first: int = 0) -> AsyncIterator[tuple[int, Artwork]]:
    """Frames from `first` on, in order; a few are drawn ahead, and called off when nobody waits for them."""
    ahead: list[asyncio.Task[Artwork]] = []
    try:
        for index in range(first, len(frames)):
            while len(ahead) < _AHEAD and index + len(ahead) < len(frames):
                ahead.append(asyncio.create_task(context.drawer.draw(frames[index + len(ahead)])))
            yield index, await ahead[0]
            ahead.pop(0)
    finally:
        for task in ahead:
            task.cancel()


async def webp(request: Request) -> Response:
    """The same walk as a WebP film of `fps` frames a second, which says what it was drawn from."""
    frames, said, context = frames_of(request), request.query_params, context_of(request)
    fps = _whole(request, "fps", "16", (1, 30))
    with context.streaming(request.state.visitor):
        files = [artwork async for _, artwork in _drawn(context, frames)]
        async with _ONE_AT_A_TIME:
            data = await asyncio.to_thread(_encoded, files, said.getlist("w"), fps, said.get("loop") == "1")
    headers = {"content-disposition": 'attachment; filename="walk.webp"'}
    return Response(data, media_type="image/webp", headers=headers)


def _encoded(files: list[Artwork], works: list[str], fps: int, is_loop: bool) -> bytes:
    """Pixels are decoded one frame at a time: what is held are the files, of some kB each."""
    first = files[0]
    assert first.accepted is not None  # `draw` sets it
    factor = math.ceil(SIDE / min(first.width, first.height))
    size = first.width * factor, first.height * factor
    prompt = json.dumps({"works": works, "frames": len(files), "loop": is_loop, "fps": fps}, ensure_ascii=False)
    changes = (
        f"A film of {len(files)} artworks, the frames of a walk between works, enlarged by whole pixels to "
        f"{size[0]} x {size[1]}, encoded with loss."
    )
    mode = "RGBA" if any(file.image().mode == "RGBA" for file in files) else "RGB"
    packet = Derivation(first.accepted.model, first.model_digest, prompt, changes).packet
    data = BytesIO()
    write_webp(Film(size, mode, len(files), fps, is_loop, packet), _enlarged(files, mode, size), data)
    return data.getvalue()


def _enlarged(files: list[Artwork], mode: str, size: tuple[int, int]) -> Iterator[Image.Image]:
    for file in files:
        yield file.image().convert(mode).resize(size, Image.Resampling.NEAREST)


ROUTES: Final = [Route("/api/film", film), Route("/film.webp", webp)]
