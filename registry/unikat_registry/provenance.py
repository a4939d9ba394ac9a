"""The methods of `unikat.v1.Provenance`. Each takes a request's bytes, returns bytes, and raises UnikatError."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import grpc
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from unikat.artwork import Artwork
from unikat.certificate import recipe_of
from unikat.errors import Reason, UnikatError, bad_field, error_of, make_status, retry_later
from unikat.metadata import Recipe
from unikat.paging import check_page, decode, encode
from unikat.statuses import end
from unikat.v1 import provenance_pb2 as pb
from unikat_registry import works as store
from unikat_registry.certificates import Certificates, terms
from unikat_registry.claims import Claims
from unikat_registry.comparison import compare
from unikat_registry.database import reading
from unikat_registry.examination import Examiner, Found, mark_found, neighbour, verdict_of
from unikat_registry.requests import check_claim, check_id, check_list, check_transfer, no_such_work, parse
from unikat_registry.studio import Drawing, renderer_of
from unikat_registry.works import StoredWork

log = logging.getLogger(__name__)

NAME: Final = pb.DESCRIPTOR.services_by_name["Provenance"].full_name
RETRY_S: Final = 1.0

Context = grpc.aio.ServicerContext[bytes, bytes]
Method = Callable[[bytes], Awaitable[Message]]


@dataclass(frozen=True)
class Provenance:
    """`unikat.v1.Provenance`. Databases and pictures are looked at in threads."""

    engine: Engine
    drawing: Drawing
    claims: Claims
    certificates: Certificates
    examiner: Examiner
    # Pictures are examined one a core, in threads of their own: one whose call was cancelled is looked at to its end.
    examining: Executor = field(default_factory=lambda: ThreadPoolExecutor(os.cpu_count() or 1, "examining"))

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """To add to a server."""
        methods: dict[str, Method] = {
            "ClaimArtwork": self.claim,
            "GetCertificate": self.certificate,
            "VerifyArtwork": self.verify,
            "RedrawArtwork": self.redraw,
            "TransferArtwork": self.transfer,
            "ListArtworks": self.works,
        }
        handlers = {name: grpc.unary_unary_rpc_method_handler(_translated(each)) for name, each in methods.items()}
        return grpc.method_handlers_generic_handler(NAME, handlers)

    async def claim(self, data: bytes) -> pb.Certificate:
        """Draw, check, enter; the certificate."""
        request = parse(pb.ClaimArtworkRequest, data)
        check_claim(request)
        artwork = await self.drawing.draw(request.recipe)
        model = await self.drawing.model_of(artwork)
        await asyncio.to_thread(self.claims.claim, request, artwork, terms(model))
        return await asyncio.to_thread(self.certificates.of, artwork.digest)

    async def certificate(self, data: bytes) -> pb.Certificate:
        """The certificate of a work."""
        work = await self._work(parse(pb.GetCertificateRequest, data).id)
        return await asyncio.to_thread(self.certificates.of, work.artwork)

    async def verify(self, data: bytes) -> pb.VerifyArtworkResponse:
        """All that can be found out of a picture."""
        request = parse(pb.VerifyArtworkRequest, data)
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self.examining, self.examiner.examine, request.picture, request.credentials
            )
        except ValueError as error:
            raise error_of(bad_field("picture", str(error))) from error
        redraw = None if request.skip_redraw else await self._redraw_of(found, request.picture)
        verdict, summary = verdict_of(found, redraw)
        response = pb.VerifyArtworkResponse(
            verdict=verdict, summary=summary, credentials=found.credentials, mark=mark_found(found.mark), redraw=redraw,
            neighbours=[neighbour(*each) for each in found.neighbours],
            stated_digest=found.statement.digest if found.statement and found.statement.is_ours else b"",
        )  # fmt: skip
        if found.work is not None:
            certificate = await asyncio.to_thread(self.certificates.of, found.work.artwork, with_image=False)
            response.certificate.CopyFrom(certificate)
        return response

    async def redraw(self, data: bytes) -> pb.Redraw:
        """A work beside its redraw."""
        work = await self._work(parse(pb.RedrawArtworkRequest, data).id)
        if not work.image:
            text = "id: the registry lost the picture of this work; `unikat registry recover` draws it again"
            raise error_of(make_status(Code.FAILED_PRECONDITION, text, Reason.OTHER_PICTURE))
        said = work.claim.said
        again = await self.drawing.redraw(recipe_of(said))
        unmarked = bytes.fromhex(said["pixels"]["unmarked"])
        return await asyncio.to_thread(compare, work.image, again, renderer_of(said), unmarked)

    async def transfer(self, data: bytes) -> pb.Certificate:
        """Hand a work on; its certificate."""
        request = parse(pb.TransferArtworkRequest, data)
        check_transfer(request)
        work = await self._work(request.id)
        await asyncio.to_thread(self.claims.transfer, request, work.artwork)
        return await asyncio.to_thread(self.certificates.of, work.artwork)

    async def works(self, data: bytes) -> pb.ListArtworksResponse:
        """A page of the works."""
        request = parse(pb.ListArtworksRequest, data)
        check_list(request)
        owner = request.owner_key.hex()
        size, before = check_page(request.page_size, request.page_token, lambda token: _position(token, owner))
        found = await asyncio.to_thread(self._newest, size + 1, before, request.owner_key)
        response = pb.ListArtworksResponse(works=[work.message() for work in found[:size]])
        if len(found) > size:
            response.next_page_token = encode("works", found[size - 1].claim.index, owner)
        return response

    def _newest(self, count: int, before: int | None, owner_key: bytes) -> list[StoredWork]:
        with reading(self.engine) as session:
            return store.newest(session, count, before, owner_key)

    async def _work(self, id: str) -> StoredWork:
        """Raises UnikatError: NOT_FOUND, and INVALID_ARGUMENT for an id that is of several works."""
        check_id(id)
        found = await asyncio.to_thread(self._find_all, id)
        if not found:
            raise no_such_work(id)
        if len(found) > 1:
            digests = ", ".join(work.artwork.hex() for work in found)
            raise error_of(bad_field("id", f"several works have it; give the digest: {digests}"))
        return found[0]

    def _find_all(self, id: str) -> list[StoredWork]:
        with reading(self.engine) as session:
            return store.find_all(session, id)

    async def _redraw_of(self, found: Found, picture: bytes) -> pb.Redraw | None:
        """The redraw of the work that a picture shows, or of the recipe that it states; None without one."""
        said = found.work.claim.said if found.work else None
        stated = found.statement.recipe if found.statement and found.statement.is_ours else None
        recipe: Recipe | None = recipe_of(said) if said else stated
        if recipe is None:
            return None
        try:
            again: Artwork = await self.drawing.redraw(recipe)
        except (UnikatError, ValueError) as error:  # protobuf raises these for what it cannot hold
            return pb.Redraw(reason=f"it cannot be drawn again here: {error}")
        drawn_by = renderer_of(said) if said else None
        unmarked = bytes.fromhex(said["pixels"]["unmarked"]) if said else b""
        return await asyncio.to_thread(compare, picture, again, drawn_by, unmarked)


def _position(token: str, owner: str) -> int:
    before, of_owner = decode("works", token)
    if not isinstance(before, int) or of_owner != owner:
        raise ValueError(token)
    return before


def _translated(method: Method) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """A handler whose exceptions end the call with a status; a cancellation passes through as it is."""

    async def handle(request: bytes, context: Context) -> bytes:
        try:
            return (await method(request)).SerializeToString()
        except UnikatError as error:
            status = error.status
        except SQLAlchemyError as error:
            log.warning("The database: %s", error)
            text = "the registry's database cannot be used at the moment"
            status = retry_later(Code.UNAVAILABLE, text, Reason.STORE_UNAVAILABLE, RETRY_S)
        except Exception:
            log.exception("A call failed")
            status = make_status(Code.INTERNAL, "the registry failed; its log says why", Reason.JOB_FAILED)
        return await end(context, status)

    return handle
