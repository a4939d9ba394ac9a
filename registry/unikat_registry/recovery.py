"""After a restore: what a backup lacks, read back from what was published, and drawn again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from unikat.artwork import Artwork
from unikat.canonical_json import canonical
from unikat.certificate import CLAIM, TRANSFER, Certificate, CertificateError, marked_digest, recipe_of
from unikat.errors import Unavailable, UnikatError
from unikat.json_text import parse_json
from unikat.likeness import Look
from unikat.transparency import merkle, tiles
from unikat.transparency.mirror import Mirror
from unikat_registry import details, works
from unikat_registry.certificates import terms
from unikat_registry.database import reading, writing
from unikat_registry.details import Details
from unikat_registry.erasure import ERASURE, overwrite
from unikat_registry.log import Log
from unikat_registry.publication import RolledBack
from unikat_registry.studio import Drawing, renderer_of
from unikat_registry.tree import committed, root_of
from unikat_registry.works import StoredWork

# Of a work until it is drawn again: the log says nothing of licences.
_NO_TERMS: Final = {"asks": [], "credits": "", "licence": "", "sale": "Not known: the registry lost the model's terms."}


@dataclass
class Recovered:
    """What came back of the log: entries, and how many of them are claims, transfers and erasures."""

    entries: range
    claims: int = 0
    transfers: int = 0
    erasures: int = 0


def recover(engine: Engine, log: Log, mirror: Mirror) -> Recovered:
    """Append what the log's static files have and the database has not, with the works that these entries tell of.

    All or nothing, in one transaction, after every file was verified. Erasures among the entries are done again. Names
    and pictures are in no file: the works are without them. Raises RolledBack where the files do not extend the
    database, TransparencyError for files that were changed, OSError, and what `overwrite` raises.
    """
    mirror.verify()
    most = mirror.checkpoint.size
    with writing(engine) as session:
        works.hold_the_log(session)
        size = committed(session)
        if size > most or root_of(session, size) != merkle.root(size, mirror.node):
            raise RolledBack(f"the {most} published entries do not begin with the {size} of the database")
        found = Recovered(range(size, most))
        for tile, width in tiles.widths(most, size):
            for index, leaf in enumerate(mirror.entries(tile, width), tile * tiles.WIDTH):
                if index >= size:
                    log.append(session, leaf)
                    _follow(session, found, index, leaf)
        if root_of(session, most) != mirror.checkpoint.root:  # files that changed since they were verified
            raise RolledBack("the published entries do not lead to the published root")
    overwrite(engine)
    return found


def _follow(session: Session, found: Recovered, index: int, leaf: bytes) -> None:
    """Do what an entry says was done."""
    try:
        said = parse_json(leaf)
    except ValueError:
        return
    kind = said.get("type") if isinstance(said, dict) else None
    if kind == CLAIM and works.find(session, bytes.fromhex(said["artwork"])) is None:
        works.enter_unseen(session, said, index, _NO_TERMS)
        found.claims += 1
    elif kind == TRANSFER:
        artwork, key = bytes.fromhex(said["artwork"]), bytes.fromhex(said["to"])
        works.hand_on(session, artwork, index, said["number"], key)
        found.transfers += 1
    elif kind == ERASURE:
        details.erase_again(session, said["entry"])
        found.erasures += 1


def name_again(engine: Engine, certificate: Certificate) -> list[int]:
    """Store the names that a certificate has of entries whose names are lost, and were not erased; the entries.

    The salted hash in the log's entry shows that these are its names, whoever brings them. Raises CertificateError for
    one of another log, and SQLAlchemyError.
    """
    named = []
    with writing(engine) as session:
        works.hold_the_log(session)
        for logged in (certificate.claim, *certificate.transfers):
            index, known = logged.proof.leaf_index, Details(logged.salt, dict(logged.details or {}))
            if canonical(logged.entry).encode() != works.leaf(session, index):
                raise CertificateError(f"entry {index} of the log is another than the certificate's")
            if logged.details is None or details.is_there(session, index):
                continue
            if known.hash.hex() != logged.entry["details"]:
                raise CertificateError(f"the names of entry {index} are not those that were entered")
            details.keep(session, index, known)
            named.append(index)
    return named


async def draw_again(engine: Engine, drawing: Drawing) -> tuple[list[StoredWork], dict[int, str]]:
    """Bring the pictures of works that have none: those that came back, and entry -> why one did not.

    A picture counts where every pixel is that of the claim. Raises SQLAlchemyError.
    """
    with reading(engine) as session:
        missing = works.unseen(session)
    back: list[StoredWork] = []
    lost: dict[int, str] = {}
    for work in missing:
        try:
            again = await drawing.redraw(recipe_of(work.claim.said))
            if reason := _differs(again, work.claim.said):
                lost[work.claim.index] = reason
                continue
            of_model = terms(await drawing.model_of(again))
        except Unavailable as error:  # so it would be of the others, after as long a wait for each
            return back, lost | {each.claim.index: str(error) for each in missing[len(back) + len(lost) :]}
        except UnikatError as error:
            lost[work.claim.index] = str(error)
            continue
        with writing(engine) as session:
            works.show(session, work.artwork, again.data, Look.of(again.array()), of_model)
        back.append(work)
    return back, lost


def _differs(again: Artwork, said: Mapping[str, Any]) -> str:
    """Why a redraw is not the picture that was claimed; "" where it is."""
    if again.digest.hex() != said["artwork"]:
        return "the service draws another artwork from its recipe"
    if marked_digest(again.array()).hex() != said["pixels"]["marked"]:
        return f"the service draws other pixels ({renderer_of(said)} drew the work, {again.renderer} the redraw)"
    return ""
