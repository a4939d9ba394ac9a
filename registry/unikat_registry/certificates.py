"""Certificates: what stands in the log of a work, its proofs and the terms of its model, signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from unikat.canonical_json import canonical
from unikat.certificate import CERTIFICATE, Logged
from unikat.licences import asks, credits
from unikat.transparency import SigningKey
from unikat.v1 import provenance_pb2 as pb
from unikat.v1.model_pb2 import Model
from unikat_registry.database import reading
from unikat_registry.log import Log
from unikat_registry.works import LoggedEntry, StoredWork, find

# An SPDX expression begins with it, and selling is allowed under the conditions that `asks` says.
_SALES_ALLOWED: Final = ("CC0-", "CC-BY-4", "CC-BY-3", "CC-BY-SA", "MIT", "Apache-2.0", "BSD-")


def terms(model: Model) -> dict[str, Any]:
    """What a model's licences ask of whoever sells a drawing, as it is kept with a work."""
    licences = dict.fromkeys([*model.licence.split(" AND "), *(source.licence for source in model.sources)])
    unclear = [licence or "no licence named" for licence in licences if not licence.startswith(_SALES_ALLOWED)]
    if unclear:
        sale = f"Not without asking: {', '.join(unclear)} may not allow it. Read the licence, or ask its holder."
    else:
        sale = "Yes. The licences of the weights and of the pictures that the model learnt from allow it, with credit."
    return {"asks": asks(model), "credits": credits(model), "licence": model.licence, "sale": sale}


@dataclass(frozen=True)
class Certificates:
    """Makes certificates. May be used by several threads."""

    engine: Engine
    log: Log
    key: SigningKey
    folder: Path  # of the published log
    link: str

    def of(self, artwork: bytes, *, with_image: bool = True) -> pb.Certificate:
        """The certificate of a work that is committed. The log is published first: a proof is for all to see.

        Raises LookupError for a work that there is not.
        """
        self.log.publish(self.folder)
        with reading(self.engine) as session:
            work = find(session, artwork)
        if work is None:
            raise LookupError(artwork.hex())
        image = work.image if with_image else b""
        return pb.Certificate(work=work.message(), document=self._document(work), image=image)

    def _document(self, work: StoredWork) -> bytes:
        size = self.log.size()
        transfers = [self._logged(each, size).to_json() for each in work.transfers]
        said: dict[str, Any] = {
            "claim": self._logged(work.claim, size).to_json(),
            "issued": now(),
            "key": str(self.key.verifier),
            "link": self.link + work.artwork.hex() if self.link else f"unikat:sha256:{work.artwork.hex()}",
            "log": self.log.origin,
            "model": dict(work.model),
            "transfers": transfers,
            "type": CERTIFICATE,
        }
        return canonical(said | {"signature": self._signature(said)}).encode()

    def _logged(self, entry: LoggedEntry, size: int) -> Logged:
        known = entry.details
        proof = self.log.prove(entry.index, size)
        return Logged(entry.said, proof, known.values if known else None, known.salt if known else b"")

    def _signature(self, said: Mapping[str, Any]) -> str:
        return self.key.sign(f"{canonical(dict(said))}\n").rstrip("\n")


def now() -> str:
    """The time, in whole seconds, as it stands in entries and certificates."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()
