"""Whether a picture is a claimed work: by its certificate, without a network, or by asking the registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from unikat.cli import options
from unikat.cli.problems import BAD_INPUT, Problem

if TYPE_CHECKING:
    from unikat.certificate import Certificate
    from unikat.transparency import VerifierKey

_WRONG: Final = ("nothing", "contradiction")


@dataclass(frozen=True)
class Works:
    """What pictures are compared with."""

    certificate: Annotated[
        Path | None, typer.Option(exists=True, help="Compare with the certificate of a work (JSON), without a network.")
    ] = None
    checkpoint: Annotated[
        Path | None, typer.Option(exists=True, help="With it: a checkpoint of the registry's log, had elsewhere.")
    ] = None
    key: Annotated[
        str, typer.Option(help="With it: the registry's key (name+id+base64), or its file, as it is published.")
    ] = ""
    registry: Annotated[str, typer.Option(help="Ask the registry at host:port as well.")] = ""
    ca: options.Authorities = None

    def __post_init__(self) -> None:
        """Raises Problem for options that need others."""
        if (self.checkpoint or self.key) and self.certificate is None:
            raise Problem("--checkpoint and --key go with --certificate", code=BAD_INPUT)

    def compare(self, file: Path) -> tuple[dict[str, Any], bool | None]:
        """What is found of a picture file, and whether all of it is as it should be; None where nothing was asked."""
        facts: dict[str, Any] = {}
        fine = []
        if self.certificate is not None:
            found, is_fine = self._by_certificate(file, self.certificate)
            facts |= found
            fine.append(is_fine)
        if self.registry:
            found, is_fine = self._by_registry(file)
            facts |= found
            fine.append(is_fine)
        return facts, all(fine) if fine else None

    def _by_certificate(self, file: Path, path: Path) -> tuple[dict[str, Any], bool]:
        try:
            import cryptography  # noqa: F401  # or it would be missed while the signature is verified
        except ImportError as error:
            raise Problem(f"not installed: {error.name}", "Install it: pip install 'unikat[keys]'") from error
        from unikat.certificate import Certificate, CertificateError

        try:
            certificate = Certificate.parse(path.read_bytes())
            key = self._given_key() or certificate.key
            certificate.verify(key)
            if self.checkpoint is not None:
                certificate.verify_checkpoint(self.checkpoint.read_text(encoding="utf-8"), key)
        except (CertificateError, UnicodeDecodeError) as error:
            return {"certificate": f"does not hold: {error}"}, False
        names = certificate.claim.details or {}
        facts: dict[str, Any] = {"certificate": f"holds: {certificate.artwork.hex()}", "signed_by": str(key)}
        if not self.key:
            facts["signed_by"] += " (the key that the certificate names: compare it with the registry's)"
        if self.checkpoint is not None:
            facts["checkpoint"] = "of the same log"
        facts |= {name: names[name] for name in ("title", "creator") if names.get(name)}
        facts |= {
            "owner": certificate.owner[0] or certificate.owner[1].hex(),
            "claimed": certificate.claim.entry["time"],
        }
        text, is_same = _beside(file, certificate)
        return facts | {"picture": text}, is_same

    def _given_key(self) -> VerifierKey | None:
        from unikat.transparency import TransparencyError, VerifierKey

        if not self.key:
            return None
        try:
            return VerifierKey.parse(Path(self.key).read_text() if Path(self.key).is_file() else self.key)
        except (TransparencyError, UnicodeDecodeError) as error:
            raise Problem(f"--key: {error}", code=BAD_INPUT) from error

    def _by_registry(self, file: Path) -> tuple[dict[str, Any], bool]:
        from unikat.artwork import SIDECAR
        from unikat.cli.registry import Address, connect
        from unikat.v1.provenance_pb2 import Verdict

        sidecar = file.with_suffix(SIDECAR)
        with connect(Address(self.registry, ca=self.ca)) as registry:
            found = registry.verify(file.read_bytes(), credentials=sidecar.read_bytes() if sidecar.exists() else b"")
        verdict = Verdict.Name(found.verdict).removeprefix("VERDICT_").lower().replace("_", " ")
        facts: dict[str, Any] = {"registry": found.summary, "registry_verdict": verdict}
        if found.HasField("certificate"):
            facts |= {"work": found.certificate.work.digest.hex(), "owner": found.certificate.work.owner}
        if found.HasField("redraw"):
            facts["redraw"] = found.redraw.reason or "every byte is the same"
        looks = [f"{each.work.id} ({each.hash_distance} bits, {each.colour_distance:.1f})" for each in found.neighbours]
        return facts | {"looks_like": ", ".join(looks)}, verdict not in _WRONG


def _beside(file: Path, certificate: Certificate) -> tuple[str, bool]:
    """A picture beside a certificate: in words, and whether it is the one that was claimed."""
    from unikat.likeness import Look
    from unikat.pictures import read_pixels

    try:
        pixels = read_pixels(file.read_bytes())
    except ValueError as error:
        raise Problem(f"{file}: {error}", code=BAD_INPUT) from error
    if certificate.shows(pixels):
        return "the one that was claimed: every pixel is the same", True
    apart = int.from_bytes(Look.of(pixels).hash) ^ int.from_bytes(bytes.fromhex(certificate.claim.entry["phash"]))
    return f"not the pixels that were claimed; {apart.bit_count()} of 256 bits of the perceptual hash differ", False
