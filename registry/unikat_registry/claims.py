"""Claims and transfers: what is entered into the log, each in one transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.rpc.code_pb2 import Code
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from unikat.artwork import Artwork
from unikat.canonical_json import canonical
from unikat.certificate import CLAIM, TRANSFER, CertificateError, marked_digest, signed_text, verify_transfer
from unikat.errors import Reason, UnikatError, bad_field, error_of, make_status
from unikat.likeness import Distance, Looks
from unikat.pictures import read_pixels
from unikat.v1 import provenance_pb2 as pb
from unikat_registry import details, works
from unikat_registry.certificates import now
from unikat_registry.comparison import compare
from unikat_registry.database import reading, writing
from unikat_registry.details import Details
from unikat_registry.gallery import Gallery
from unikat_registry.log import Log
from unikat_registry.studio import said_of
from unikat_registry.works import LoggedEntry, StoredWork


@dataclass(frozen=True)
class Claims:
    """Enters works. May be used by several threads and processes."""

    engine: Engine
    log: Log
    gallery: Gallery

    def claim(self, request: pb.ClaimArtworkRequest, artwork: Artwork, terms: Mapping[str, Any]) -> None:
        """Enter a work that was drawn for the claim; where the same claim stands, nothing is done.

        Raises UnikatError: FAILED_PRECONDITION for another picture, ALREADY_EXISTS for what stands against it.
        """
        if request.picture:
            _check_picture(request.picture, artwork)
        pixels = artwork.array()
        looks = Looks.of(pixels)
        said = said_of(artwork) | {
            "file": hashlib.sha256(artwork.data).hexdigest(), "owner_key": request.owner_key.hex(),
            "phash": looks.straight.hash.hex(), "time": now(), "type": CLAIM,
        }  # fmt: skip
        names = {"creator": request.creator, "owner": request.owner or request.creator, "title": request.title}
        with reading(self.engine) as session:
            seen = self.gallery.view(session)
        near = seen.nearest(looks, 1)  # among all works, while others go on
        with writing(self.engine) as session:
            works.hold_the_log(session)  # from here to the commit nobody else enters anything
            if (standing := works.find(session, artwork.digest)) is not None:
                if _is_same(standing, request.owner_key, names):
                    return
                raise _already_claimed(standing, Reason.ALREADY_CLAIMED, "this artwork is claimed already")
            entered_since = self.gallery.view(session).nearest(looks, 1, since=seen)
            for digest, distance in (*near, *entered_since):
                if distance.is_near_copy:
                    raise _near_copy(session, digest, distance)
            entry = self._append(session, said, names)
            stored = StoredWork(artwork.digest, request.owner_key, artwork.data, terms, entry, ())
            works.enter(session, stored, looks.straight)

    def transfer(self, request: pb.TransferArtworkRequest, artwork: bytes) -> None:
        """Hand a work on; where the same transfer stands as the last one, nothing is done.

        Raises UnikatError: FAILED_PRECONDITION for a signature that is not the present owner's.
        """
        with writing(self.engine) as session:
            works.hold_the_log(session)
            work = works.find(session, artwork)
            assert work is not None  # works are never removed
            if work.transfers and work.transfers[-1].said["signature"] == request.signature.hex():
                return
            number = len(work.transfers) + 1
            said = {
                "artwork": artwork.hex(), "from": work.owner_key.hex(), "number": number,
                "signature": request.signature.hex(), "time": now(), "to": request.new_owner_key.hex(),
                "type": TRANSFER,
            }  # fmt: skip
            self._check_signature(said)
            entry = self._append(session, said, {"owner": request.new_owner})
            works.hand_on(session, artwork, entry.index, number, request.new_owner_key)

    def _check_signature(self, said: Mapping[str, Any]) -> None:
        try:
            verify_transfer(self.log.origin, said)
        except CertificateError as error:
            text = f"signature: it is not the present owner's ({said['from']}) of {signed_text(self.log.origin, said)}"
            raise error_of(make_status(Code.FAILED_PRECONDITION, text, Reason.NOT_THE_OWNER)) from error

    def _append(self, session: Session, said: Mapping[str, Any], names: Mapping[str, str]) -> LoggedEntry:
        known = Details.fresh(names)
        said = dict(said) | {"details": known.hash.hex()}
        index = self.log.append(session, canonical(said).encode())
        details.keep(session, index, known)
        return LoggedEntry(index, said, known)


def _is_same(standing: StoredWork, owner_key: bytes, names: Mapping[str, str]) -> bool:
    known = standing.claim.details
    return standing.claim.said["owner_key"] == owner_key.hex() and known is not None and known.values == names


def _check_picture(picture: bytes, artwork: Artwork) -> None:
    try:
        if marked_digest(read_pixels(picture)) == marked_digest(artwork.array()):
            return
        found = compare(picture, artwork, None)
    except ValueError as error:
        raise error_of(bad_field("picture", f"must be a PNG or WebP: {error}")) from error
    measured = f"{found.changed:.0%} of its pixels differ from the redraw, by up to {found.max_difference} grey levels"
    text = f"picture: the recipe draws another one: {measured}"
    raise error_of(make_status(Code.FAILED_PRECONDITION, text, Reason.OTHER_PICTURE))


def _near_copy(session: Session, digest: bytes, distance: Distance) -> UnikatError:
    standing = works.find(session, digest)
    assert standing is not None  # the gallery has committed works only
    mirrored = ", mirrored" if distance.mirrored else ""
    measured = f"{distance.bits} of 256 bits of the perceptual hash, {distance.colour:.1f} grey levels{mirrored}"
    return _already_claimed(standing, Reason.NEAR_WORK, f"it is a near copy of a claimed work ({measured})")


def _already_claimed(standing: StoredWork, reason: Reason, why: str) -> UnikatError:
    work = standing.message()
    text = f'{why}: "{work.id}", entry {work.entry} of the log, claimed at {standing.claim.said["time"]}'
    return error_of(make_status(Code.ALREADY_EXISTS, text, reason, work, artwork=work.digest.hex()))
