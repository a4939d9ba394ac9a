"""Pictures that visitors bring: where one comes from. They are read in memory, one at a time, and not kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from unikat.examination import Findings, Verdict, examine
from unikat.recipes.text import shortest, text_of
from unikat.watermark import Watermark
from unikat_gallery.context import context_of
from unikat_gallery.favourites import bounded
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse

MOST_BYTES: Final = 16 * 2**20
MOST_PIXELS: Final = 2**22  # the detector of marks takes seconds a million
_FEW_AT_A_TIME: Final = asyncio.Semaphore(8)  # are sent, and held
_ONE_AT_A_TIME: Final = asyncio.Semaphore(1)  # looking for marks takes a core, and several copies of the pixels


async def verify(request: Request) -> JSONResponse:
    """What a picture file says of itself, and which watermark is in it."""
    keys = context_of(request).mark_keys
    async with _FEW_AT_A_TIME:
        data = await bounded(request, MOST_BYTES, "picture")
        try:
            async with _ONE_AT_A_TIME:
                found = await asyncio.to_thread(_examined, data, keys)
        except (OSError, ValueError) as error:
            refuse("picture", f"PNG, WebP or JPEG, and this is not one that can be read ({error})")
    return JSONResponse(_shown(found))


def _examined(data: bytes, keys: Mapping[str, bytes]) -> Findings:
    return examine(data, {id: Watermark(key) for id, key in keys.items()}, MOST_PIXELS)


def _shown(found: Findings) -> dict[str, Any]:
    said = found.statement
    link = None
    if said is not None and said.recipe is not None and found.verdict is not Verdict.CONTRADICTION:
        recipe = said.recipe
        where = {name: next(iter(of)) if len(of) == 1 else dict(of) for name, of in recipe.weights.items()}
        mix = text_of(recipe.mix) if recipe.mix else ""
        place = recipe.model, recipe.seed, recipe.index, where, shortest(recipe.truncation), recipe.background
        link = Link(*place, recipe.attempt, mix).query
    facts = found.facts()
    verdict = facts.pop("verdict")
    return {
        "verdict": f"{verdict[:1].upper()}{verdict[1:]}.",
        "facts": [(name.replace("_", " ").capitalize(), _text(value)) for name, value in facts.items()],
        "link": link,
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in value.items())
    return f"{value:.2g}" if isinstance(value, float) else str(value)


ROUTES: Final = [Route("/api/verify", verify, methods=["POST"])]
