"""Where a picture comes from: what it says, what it carries, which work it looks like, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from unikat.certificate import marked_digest
from unikat.likeness import Distance, Looks, cropped_distance
from unikat.metadata import Statement, read_statement
from unikat.pictures import read_pixels
from unikat.v1 import provenance_pb2 as pb
from unikat.watermark import Detection, Watermark
from unikat_registry import works
from unikat_registry.database import reading
from unikat_registry.gallery import Gallery
from unikat_registry.works import StoredWork

Pixels = npt.NDArray[np.uint8]

MOST_PIXELS: Final = 2**22  # of a picture: the detector of marks takes seconds a million
NEIGHBOURS: Final = 5  # that are shown
CANDIDATES: Final = 20  # nearest works, of which it may be a part
LIKELY: Final = 3  # of them, at which is looked closely
_LABEL: Final = b"c2pa"  # in every file with credentials


@dataclass(frozen=True)
class Mark:
    """The watermark that was found, and the id of its key."""

    key: str
    detection: Detection


@dataclass(frozen=True)
class Found:
    """All that was found out without drawing.

    `work` is the one that it shows; `is_exact`: pixel for pixel; `is_marked`: it carries that work's mark.
    """

    statement: Statement | None
    credentials: pb.CredentialsState
    mark: Mark | None
    neighbours: tuple[tuple[StoredWork, Distance], ...]
    work: StoredWork | None
    is_exact: bool
    is_marked: bool

    @property
    def contradicts(self) -> bool:
        """Whether what it says of itself is not what it carries or shows."""
        said = self.statement
        if said is None or not said.is_ours or not said.digest:
            return False
        payload = (self.mark.detection.payload if self.mark else None) or b""
        shown = self.work.artwork if self.work and (self.is_exact or self.is_marked) else said.digest
        return said.own != said.digest or not said.digest.startswith(payload) or shown != said.digest


class Examiner:
    """Examines pictures. May be used by several threads."""

    def __init__(self, engine: Engine, gallery: Gallery, keys: Mapping[str, bytes], trust: Path | None) -> None:
        """`keys` of watermarks, by id; `trust`: authorities of credentials (PEM). Raises OSError."""
        self._engine = engine
        self._gallery = gallery
        self._marks = {id: Watermark(key) for id, key in keys.items()}
        self._anchors = trust.read_bytes() if trust else None

    def examine(self, picture: bytes, credentials: bytes) -> Found:
        """What is found of an image file. Raises ValueError for what is no picture, or too large."""
        pixels = read_pixels(picture, MOST_PIXELS)
        statement = read_statement(picture)
        looks = [Mark(id, mark.detect(pixels)) for id, mark in self._marks.items()]
        mark: Mark | None = min(looks, key=lambda look: look.detection.chance)
        mark = mark if mark and mark.detection.found else None
        state = self._credentials(picture, credentials)
        with reading(self._engine) as session:
            neighbours = self._neighbours(session, Looks.of(pixels))
            work, is_exact, is_marked = self._shown(session, pixels, statement, mark, neighbours)
        return Found(statement, state, mark, tuple(neighbours[:NEIGHBOURS]), work, is_exact, is_marked)

    def _neighbours(self, session: Session, looks: Looks) -> list[tuple[StoredWork, Distance]]:
        """The nearest works; where none is a near copy, those of which it may be a part are looked at so."""
        found = []
        for digest, distance in self._gallery.view(session).nearest(looks, CANDIDATES):
            if work := works.find(session, digest):  # the gallery may know of works that were committed since
                found.append((work, distance))
        if any(distance.is_near_copy for _, distance in found):
            return found
        parts = [(cropped_distance(looks, read_pixels(work.image), fine=False).apart, work) for work, _ in found]
        likely = {work.artwork for _, work in sorted(parts, key=lambda each: each[0])[:LIKELY]}
        for place, (work, distance) in enumerate(found):
            if work.artwork in likely:
                part = cropped_distance(looks, read_pixels(work.image))
                found[place] = work, min(distance, part, key=lambda each: each.apart)
        return sorted(found, key=lambda each: each[1].apart)

    def _shown(
        self,
        session: Session,
        pixels: Pixels,
        statement: Statement | None,
        mark: Mark | None,
        neighbours: list[tuple[StoredWork, Distance]],
    ) -> tuple[StoredWork | None, bool, bool]:
        """The work that a picture shows; whether pixel for pixel; whether it carries the work's mark."""
        digest = marked_digest(pixels).hex()
        near = [work for work, _ in neighbours]
        if exact := next((work for work in near if work.claim.said["pixels"]["marked"] == digest), None):
            return exact, True, True
        payload = mark.detection.payload if mark else None
        if payload and (marked := works.beginning_with(session, payload)):  # several: 4 bytes are soon met again
            alike = next((work for work in near if work.artwork in marked), None)
            return alike or works.find(session, marked[0]), False, True
        if mark is None:  # too weak to be read, perhaps not to be compared
            for work in near[:NEIGHBOURS]:
                if any(each.matches(pixels, work.artwork).found for each in self._marks.values()):
                    return work, False, True
        if near and neighbours[0][1].is_alike and not payload:
            return near[0], False, False
        stated = works.find(session, statement.digest) if statement and statement.digest and not payload else None
        return stated, False, False

    def _credentials(self, picture: bytes, apart: bytes) -> pb.CredentialsState:
        if not apart and _LABEL not in picture:
            return pb.CredentialsState(state="none")
        if find_spec("c2pa") is None:
            return pb.CredentialsState(state="unread")
        from unikat.content_credentials.apart import read_apart

        report = read_apart(picture, _media_type(picture), apart or None, self._anchors)
        failures = [failure.text for failure in report.failures]
        return pb.CredentialsState(
            state=str(report.state), trusted=report.is_trusted, signer=report.signer, failures=failures
        )


def verdict_of(found: Found, redraw: pb.Redraw | None) -> tuple[pb.Verdict, str]:
    """What follows, and the same as a sentence."""
    work = found.work
    name = f'the work "{work.artwork.hex()[:16]}", entry {work.claim.index} of the log' if work else ""
    if found.contradicts:
        return pb.VERDICT_CONTRADICTION, "What the file says of itself is not what the picture carries or shows."
    if work is not None and found.is_exact:
        return pb.VERDICT_WORK, f"It is {name}: every pixel is the same."
    if work is not None and found.is_marked:
        return pb.VERDICT_CHANGED_WORK, f"It shows {name}, by its watermark; the pixels were changed."
    if work is not None and found.neighbours and found.neighbours[0][0].artwork == work.artwork and (
        found.neighbours[0][1].is_alike
    ):  # fmt: skip
        text = f"It looks like {name}, and carries no mark of it: a copy, a part or an imitation."
        return pb.VERDICT_RESEMBLES_WORK, text
    is_redrawn = redraw is not None and redraw.same_pixels
    if found.mark is not None or is_redrawn:
        how = "its recipe draws every pixel" if is_redrawn else "its watermark says so"
        return pb.VERDICT_UNCLAIMED, f"Unikat drew it ({how}); nobody has claimed it here."
    if found.statement is not None and found.statement.is_ours:
        return pb.VERDICT_UNCONFIRMED, "It says that Unikat drew it; nothing in its pixels confirms that."
    return pb.VERDICT_NOTHING, "Nothing says that Unikat drew it."


def mark_found(mark: Mark | None) -> pb.MarkFound:
    """As it is sent."""
    if mark is None:
        return pb.MarkFound(chance=1.0)
    return pb.MarkFound(found=True, key=mark.key, payload=mark.detection.payload or b"", chance=mark.detection.chance)


def neighbour(work: StoredWork, distance: Distance) -> pb.Neighbour:
    """As it is sent."""
    return pb.Neighbour(
        work=work.message(), hash_distance=distance.bits, colour_distance=distance.colour, mirrored=distance.mirrored,
        near_copy=distance.is_near_copy,
    )  # fmt: skip


def _media_type(picture: bytes) -> str:
    from io import BytesIO

    with Image.open(BytesIO(picture)) as image:
        return Image.MIME[image.format or "PNG"]
