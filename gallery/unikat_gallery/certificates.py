"""Works that somebody claimed: claims by visitors, and certificates, as the registry answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.rpc.code_pb2 import Code
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from unikat.certificate import Certificate, CertificateError, recipe_of
from unikat.errors import NotFound, Reason, UnikatError, error_of, make_status
from unikat.registry import claimed_recipe, standing, work_facts
from unikat.v1 import provenance_pb2 as pb
from unikat_gallery.context import context_of, visitor_of
from unikat_gallery.favourites import body
from unikat_gallery.links import Link
from unikat_gallery.problems import REGISTRY, refusal, refuse, shown

CLAIMED_WITHIN: Final = 60.0  # seconds: the registry draws it once more
KEY_DIGITS: Final = 64
_NO_KEY: Final = f"the owner's public key: {KEY_DIGITS} hex digits, as in the file NAME.pub of `unikat keys owner NAME`"


async def certificate(request: Request) -> JSONResponse:
    """What the certificate of a work says, by its id or digest; `work` is null where nobody has claimed it."""
    try:
        return JSONResponse({"work": facts_of(await _certificate(request, request.path_params["id"]))})
    except NotFound:
        return JSONResponse({"work": None})


async def document(request: Request) -> Response:
    """The certificate itself: signed JSON, which anybody can verify."""
    found = await _certificate(request, request.path_params["id"])
    headers = {"content-disposition": f'attachment; filename="{found.work.id}.json"'}
    return Response(found.document + b"\n", media_type="application/json", headers=headers)


async def claim(request: Request) -> JSONResponse:
    """Claim the work of a link; where another work stands against it, that is in the answer, as `standing`."""
    context, visitor = context_of(request), visitor_of(request)
    asked = _claim_of(await body(request))
    if not context.settings.visitor_claims:
        refuse("claims", "visitors of this gallery claim no works", Code.FAILED_PRECONDITION)
    context.claims.take(visitor)
    try:
        made = await context.ask(request, lambda registry: registry.claim(asked, timeout=CLAIMED_WITHIN))
    except UnikatError as error:
        work = standing(error)
        if work is None:
            raise
        found = facts_of(await _certificate(request, work.digest.hex()))
        return refusal(error, shown(error, whose=REGISTRY) | {"standing": found})
    return JSONResponse({"work": facts_of(made)}, 201)


def facts_of(found: pb.Certificate) -> dict[str, Any]:
    """A claimed work as a page shows it. Raises UnikatError for a certificate that cannot be read."""
    try:
        said = Certificate.parse(found.document)
    except CertificateError as error:
        text = f"the registry's certificate of {found.work.id} cannot be read: {error}"
        raise error_of(make_status(Code.INTERNAL, text, Reason.CERTIFICATE)) from error
    query = Link.of_recipe(recipe_of(said.claim.entry)).query
    return work_facts(found.work) | {
        "log": said.said["log"], "link": query, "image": f"/image/{found.work.id}.png?{query}",
        "file": f"/certificate/{found.work.digest.hex()}.json",
    }  # fmt: skip


async def _certificate(request: Request, id: str) -> pb.Certificate:
    return await context_of(request).ask(request, lambda registry: registry.certificate(id))


def _claim_of(said: Mapping[str, Any]) -> pb.ClaimArtworkRequest:
    """Raises InvalidRequest; what names may be is said by the registry."""
    texts = {name: said.get(name, "") for name in ("link", "model_digest", "title", "creator", "owner", "owner_key")}
    for name, text in texts.items():
        if not isinstance(text, str):
            refuse(name, "a text")
    link = Link.parse(texts["link"])
    try:
        key = bytes.fromhex(texts["owner_key"])
    except ValueError:
        key = b""
    if 2 * len(key) != KEY_DIGITS:
        refuse("owner_key", _NO_KEY)
    return pb.ClaimArtworkRequest(
        recipe=claimed_recipe(link.latent, texts["model_digest"], link.conditions), owner_key=key,
        title=texts["title"], creator=texts["creator"], owner=texts["owner"],
    )  # fmt: skip


ROUTES: Final = [
    Route("/api/certificates/{id}", certificate),
    Route("/api/claims", claim, methods=["POST"]),
    Route("/certificate/{id}.json", document),
]
