"""Pictures that visitors bring: where one comes from. They are read in memory, a few at a time, and not kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from unikat.examination import Findings, Verdict, examine
from unikat.metadata import Statement, read_statement
from unikat.registry import work_facts
from unikat.v1 import provenance_pb2 as pb
from unikat.watermark import Watermark
from unikat_gallery.certificates import facts_of
from unikat_gallery.context import REGISTRY_CALLS, context_of
from unikat_gallery.favourites import bounded
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse

MOST_BYTES: Final = 16_000_000  # a registry takes requests of 16 MiB
MOST_PIXELS: Final = 2**22  # the detector of marks takes seconds a million
VERIFIED_WITHIN: Final = 120.0  # seconds
_FEW_AT_A_TIME: Final = asyncio.Semaphore(REGISTRY_CALLS // 2)  # are sent, and held; claims have the other calls
_ONE_AT_A_TIME: Final = asyncio.Semaphore(1)  # looking for marks takes a core, and several copies of the pixels


async def verify(request: Request) -> JSONResponse:
    """Where a picture comes from: by the registry where one runs, else by what its file says and carries."""
    context_of(request).verifications.take(request.state.visitor)  # those without the cookie are one visitor
    async with _FEW_AT_A_TIME:
        data = await bounded(request, MOST_BYTES, "picture")
        return JSONResponse(await (_by_registry if context_of(request).registry else _by_itself)(request, data))


async def _by_itself(request: Request, data: bytes) -> dict[str, Any]:
    """What a picture file says of itself, and which watermark is in it. Raises InvalidRequest for no picture."""
    keys = context_of(request).mark_keys
    try:
        async with _ONE_AT_A_TIME:
            found = await asyncio.to_thread(_examined, data, keys)
    except (OSError, ValueError) as error:
        refuse("picture", f"PNG, WebP or JPEG, and this is not one that can be read ({error})")
    facts = found.facts()
    verdict = facts.pop("verdict")
    return {
        "verdict": f"{verdict[:1].upper()}{verdict[1:]}.",
        "facts": [(name.replace("_", " ").capitalize(), _text(value)) for name, value in facts.items()],
        "link": None if found.verdict is Verdict.CONTRADICTION else _link_of(found.statement),
    }


def _examined(data: bytes, keys: Mapping[str, bytes]) -> Findings:
    return examine(data, {id: Watermark(key) for id, key in keys.items()}, MOST_PIXELS)


def _link_of(said: Statement | None) -> str | None:
    return Link.of_recipe(said.recipe).query if said is not None and said.recipe is not None else None


async def _by_registry(request: Request, data: bytes) -> dict[str, Any]:
    """All that the registry finds out, by a redraw too: the verdict as a sentence, facts, and the works beside it."""
    found = await context_of(request).ask(request, lambda registry: registry.verify(data, timeout=VERIFIED_WITHIN))
    work = facts_of(found.certificate) if found.HasField("certificate") else None
    stated = None
    if work is None and found.verdict != pb.VERDICT_CONTRADICTION:
        stated = _link_of(await asyncio.to_thread(read_statement, data))
    return {
        "verdict": found.summary,
        "facts": [(name, text) for name, text in _found_facts(found).items() if text],
        "link": work["link"] if work else stated,
        "work": work,
        "neighbours": [
            work_facts(each.work) | {"apart": _apart(each), "near_copy": each.near_copy} for each in found.neighbours
        ],
    }


def _found_facts(found: pb.VerifyArtworkResponse) -> dict[str, str]:
    mark, credentials = found.mark, found.credentials
    state = {"unread": "there are some, which this registry does not read"}.get(credentials.state, credentials.state)
    signer = f", signed by {credentials.signer}" if credentials.signer else ""
    trusted = "" if credentials.state != "valid" or credentials.trusted else ", whom this registry does not know"
    payload = f", of an artwork that begins with {mark.payload.hex()}" if mark.payload else ""
    return {
        "Says of itself": f"drawn by Unikat, artwork {found.stated_digest.hex()}" if found.stated_digest else "nothing",
        "Watermark": f"of the key “{mark.key}”{payload}; by chance {mark.chance:.1g}" if mark.found else "none found",
        "Credentials": "; ".join([f"{state}{signer}{trusted}", *credentials.failures]),
        "Drawn again": _redrawn(found.redraw) if found.HasField("redraw") else "",
    }


def _redrawn(redraw: pb.Redraw) -> str:
    if redraw.same_file:
        return "every byte is the same"
    if redraw.same_pixels:
        return "every pixel is the same"
    changed = f"{redraw.changed:.0%} of the pixels differ, by up to {redraw.max_difference} grey levels"
    return f"{changed}: {redraw.reason}" if redraw.drawn_again_by.runtime else redraw.reason


def _apart(neighbour: pb.Neighbour) -> str:
    bits = f"{neighbour.hash_distance} of 256 bits of the perceptual hash"
    mirrored = ", mirrored" if neighbour.mirrored else ""
    return f"{bits}, {neighbour.colour_distance:.1f} grey levels{mirrored}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in value.items())
    return f"{value:.2g}" if isinstance(value, float) else str(value)


ROUTES: Final = [Route("/api/verify", verify, methods=["POST"])]
