"""The client of a registry: claims artworks, verifies pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc

from unikat.asking import ask
from unikat.errors import UnikatError
from unikat.link import Address, BlockingLink, run
from unikat.recipes.messages import recipe_message
from unikat.request import Where, conditions_of, number, sent_where
from unikat.v1 import provenance_pb2 as pb

if TYPE_CHECKING:
    from unikat.recipes.artwork import ArtworkRecipe

Request = TypeVar("Request")
Response = TypeVar("Response")

DEFAULT_TARGET: Final = "localhost:50052"
TARGET_VARIABLE: Final = "UNIKAT_REGISTRY"


def standing(error: UnikatError) -> pb.Work | None:
    """The work that stands against a claim which was refused; None where that was not why."""
    found = pb.Work()
    return next((found for detail in error.status.details if detail.Unpack(found)), None)


def claimed_recipe(of: ArtworkRecipe, model_digest: str = "", where: Where | None = None) -> pb.ArtworkRecipe:
    """The recipe of a claim. `where` are conditions in place of the recipe's, sent as they are.

    Raises `unikat.errors.InvalidRequest` for what cannot be sent.
    """
    recipe = pb.ArtworkRecipe(
        model=of.model, model_digest=model_digest, background=of.background, attempt=of.attempt,
        conditions=conditions_of(sent_where(of.where) if where is None else where),
    )  # fmt: skip
    place = of.mix.place
    if place is None:
        recipe.recipe.CopyFrom(recipe_message(of.mix))
    else:
        recipe.seed, recipe.index = place
    if of.truncation is not None:
        recipe.truncation = number("truncation", of.truncation)
    return recipe


def work_facts(work: pb.Work) -> dict[str, Any]:
    """A work for people and programs: texts and numbers by name; `claimed` is its time in UTC."""
    return {
        "id": work.id, "digest": work.digest.hex(), "entry": work.entry, "title": work.title, "creator": work.creator,
        "owner": work.owner, "owner_key": work.owner_key.hex(),
        "claimed": work.claim_time.ToDatetime().isoformat() + "Z", "model": work.model, "transfers": work.transfers,
    }  # fmt: skip


class Registry:
    """A connection to a registry; it can be shared by threads.

    `target` is "host:port", by default $UNIKAT_REGISTRY, then localhost:50052; `tls`, `ca` and `identity` are as in
    `unikat.Studio`. `reconnect_timeout` is how many seconds a call is sent again that was lost: claims and transfers
    are entered once however often they are sent. Methods take and return the messages of `unikat.v1.provenance_pb2`,
    and raise the errors of `unikat.errors`.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        tls: bool = False,
        ca: str | Path | None = None,
        identity: tuple[str | Path, str | Path] | None = None,
        reconnect_timeout: float = 60.0,
    ) -> None:
        target = target or os.environ.get(TARGET_VARIABLE) or DEFAULT_TARGET
        self._link = BlockingLink(Address.of(target, tls, ca, identity))
        self._reconnect_timeout = reconnect_timeout

    @property
    def target(self) -> str:
        return self._link.address.target

    def claim(self, request: pb.ClaimArtworkRequest, *, timeout: float | None = None) -> pb.Certificate:
        """Make an artwork a work. `unikat.errors.InvalidRequest` has what stands against it: `standing(error)`."""
        return self._ask(self._link.provenance.ClaimArtwork, request, timeout)

    def certificate(self, id: str, *, timeout: float = 10.0) -> pb.Certificate:
        """The certificate of a work, by the artwork's id or digest. Raises `unikat.errors.NotFound`."""
        return self._ask(self._link.provenance.GetCertificate, pb.GetCertificateRequest(id=id), timeout)

    def verify(
        self, picture: bytes, *, credentials: bytes = b"", redraw: bool = True, timeout: float | None = None
    ) -> pb.VerifyArtworkResponse:
        """Where the picture of an image file comes from."""
        request = pb.VerifyArtworkRequest(picture=picture, credentials=credentials, skip_redraw=not redraw)
        return self._ask(self._link.provenance.VerifyArtwork, request, timeout)

    def redraw(self, id: str, *, timeout: float | None = None) -> pb.Redraw:
        """A work beside its redraw. Raises `unikat.errors.NotFound`."""
        return self._ask(self._link.provenance.RedrawArtwork, pb.RedrawArtworkRequest(id=id), timeout)

    def transfer(self, request: pb.TransferArtworkRequest, *, timeout: float = 10.0) -> pb.Certificate:
        """Hand a work on; `unikat.certificate.transfer_text` is what its owner signs."""
        return self._ask(self._link.provenance.TransferArtwork, request, timeout)

    def works(self, *, owner_key: bytes = b"", timeout: float = 10.0) -> Iterator[pb.Work]:
        """All works, or those of one owner, newest first. Pages are fetched as they are needed."""
        request = pb.ListArtworksRequest(owner_key=owner_key)
        while True:
            page = self._ask(self._link.provenance.ListArtworks, request, timeout)
            yield from page.works
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def close(self) -> None:
        """End every call and the connection."""
        run(self._link.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self, method: grpc.UnaryUnaryMultiCallable[Request, Response], request: Request, timeout: float | None
    ) -> Response:
        return run(ask(self._link, method, request, timeout, self._reconnect_timeout))
