"""An album as files: a contact sheet, an atlas of sprites, and a script that draws more of the same as a batch."""

from __future__ import annotations

import asyncio
import json
import shlex
import zipfile
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from google.rpc.code_pb2 import Code
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from unikat.cli.where import describe
from unikat.metadata import of_several
from unikat.sheet import Sheet, grid
from unikat.sprites import Packing, Sprite, pack
from unikat_gallery.albums import found, works_of
from unikat_gallery.context import context_of
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse

PLAN: Final = "plan.sh"
PLAN_COUNT: Final = 16  # images of each work's conditions in a batch
_AT_A_TIME: Final = asyncio.Semaphore(2)  # exports that are made: each holds its album's pictures

Work = tuple[str, Link]  # an artwork's id and its recipe
Picture = tuple[Work, Image.Image]


async def export(request: Request) -> Response:
    """The file that an address names."""
    name, album = request.path_params["name"], request.path_params["id"]
    if name not in (*_FILES, PLAN):
        refuse("name", f"one of {', '.join((*_FILES, PLAN))}, not {name[:40]!r}", Code.NOT_FOUND)
    context = context_of(request)
    title, rows = await context.read(lambda db: (found(db, album)["title"], works_of(db, album)))
    works = [(row["id"], Link.parse(row["link"])) for row in rows]
    if not works:
        refuse("album", "it is empty", Code.FAILED_PRECONDITION)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    if name == PLAN:
        return Response(plan(title, [link for _, link in works]), media_type="text/x-shellscript", headers=headers)
    make, media_type = _FILES[name]
    with context.streaming(request.state.visitor):
        files = [context.drawer.images.get(id) or (await context.drawer.draw(link)).data for id, link in works]
        async with _AT_A_TIME:
            content = await asyncio.to_thread(lambda: make(title, list(zip(works, map(_picture, files), strict=True))))
    return Response(content, media_type=media_type, headers=headers)


def _picture(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")


def contact_sheet(title: str, pictures: Sequence[Picture]) -> bytes:
    """PNG. Works of other sizes than the first are shown at its size."""
    size = pictures[0][1].size
    tiles = [image if image.size == size else image.resize(size) for _, image in pictures]
    captions = [f"{describe(next(iter(link.where.values()), ''))}\n{id}" for (id, link), _ in pictures]
    buffer = BytesIO()
    models = ", ".join(sorted({link.model for (_, link), _ in pictures}))
    Sheet(grid(tiles), title, models, captions=grid(captions)).draw().save(buffer, "PNG", pnginfo=of_several())
    return buffer.getvalue()


def sprite_sheet(_title: str, pictures: Sequence[Picture]) -> bytes:
    """ZIP of an atlas as Phaser and Godot read it; each sprite says its recipe."""
    sprites = [Sprite(id, image, {"id": id, "link": link.query}) for (id, link), image in pictures]
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pack(sprites, Packing()).items():
            archive.writestr(zipfile.ZipInfo(name), content)  # without the time: the same album, the same file
    return buffer.getvalue()


def plan(title: str, links: Sequence[Link]) -> str:
    """A script that draws, for each work, PLAN_COUNT others of its conditions: one batch for each model."""
    lines = ["#!/bin/sh", f"# {title}: {PLAN_COUNT} new images of the conditions of each work.", "set -e"]
    for number, model in enumerate(dict.fromkeys(link.model for link in links), 1):
        rows = [json.dumps({"where": _plain(link), "count": PLAN_COUNT}) for link in links if link.model == model]
        lines += [f"cat > plan-{number}.jsonl <<'PLAN'", *rows, "PLAN"]
        create = shlex.join(["unikat", "batch", "create", model, "--plan", f"plan-{number}.jsonl"])
        lines.append(f'{create} --to "$PWD/out/batch-{number}" --watch')
    return "\n".join([*lines, ""])


def _plain(link: Link) -> Mapping[str, Any]:
    return {name: value if isinstance(value, str) else dict(value) for name, value in link.where.items()}


_FILES: Final[dict[str, tuple[Callable[[str, Sequence[Picture]], bytes], str]]] = {
    "sheet.png": (contact_sheet, "image/png"),
    "sprites.zip": (sprite_sheet, "application/zip"),
}
ROUTES: Final = [Route("/export/{id}/{name}", export)]
