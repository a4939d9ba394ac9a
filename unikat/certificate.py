"""Certificates of claimed works: read and verified without a network (docs/provenance.md says what stands in them)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from unikat.batches.layout import parse_conditions
from unikat.canonical_json import canonical
from unikat.json_text import parse_json
from unikat.metadata import Recipe
from unikat.recipes.text import parse_mix
from unikat.transparency import Checkpoint, Note, Proof, TransparencyError, VerifierKey, salted_hash

CLAIM: Final = "unikat.claim.1"
TRANSFER: Final = "unikat.transfer.1"
CERTIFICATE: Final = "unikat.certificate.1"
KEY_BYTES: Final = 32  # of a public key of Ed25519
SIGNATURE_BYTES: Final = 64

Pixels = npt.NDArray[np.uint8]


class CertificateError(ValueError):
    """A certificate does not hold; the message says which part, and what is wrong with it."""


def marked_digest(pixels: Pixels) -> bytes:
    """SHA-256 of a picture's pixels (H, W, 3 or 4), row by row, without alpha where all of it is opaque."""
    opaque = pixels.shape[-1] == 4 and bool((pixels[..., 3] == 255).all())
    return hashlib.sha256((pixels[..., :3] if opaque else pixels).tobytes()).digest()


def recipe_of(entry: Mapping[str, Any]) -> Recipe:
    """What the artwork of a claim's entry was drawn from."""
    recipe = entry["recipe"]
    return Recipe(
        recipe["model"], recipe["model_digest"], parse_conditions(recipe["conditions"]), int(recipe["seed"]),
        recipe["index"], float(recipe["truncation"]), recipe.get("background", ""),
        recipe.get("attempt", 0), parse_mix(recipe["recipe"]) if "recipe" in recipe else None,
    )  # fmt: skip


def transfer_text(log: str, artwork: bytes, number: int, owner_key: bytes, new_owner_key: bytes) -> bytes:
    """What the owner signs with Ed25519 to hand a work on: the transfer `number` (from 1) of a work in a log."""
    fields = {
        "artwork": artwork.hex(),
        "from": owner_key.hex(),
        "log": log,
        "number": number,
        "to": new_owner_key.hex(),
    }
    return canonical(fields | {"type": TRANSFER}).encode()


def signed_text(log: str, entry: Mapping[str, Any]) -> str:
    """What the owner before has signed of a transfer's entry."""
    artwork, old, new = (bytes.fromhex(entry[name]) for name in ("artwork", "from", "to"))
    return transfer_text(log, artwork, entry["number"], old, new).decode()


def verify_transfer(log: str, entry: Mapping[str, Any]) -> None:
    """Raises CertificateError where the owner before did not sign a transfer's entry."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    old, signature = bytes.fromhex(entry["from"]), bytes.fromhex(entry["signature"])
    try:
        Ed25519PublicKey.from_public_bytes(old).verify(signature, signed_text(log, entry).encode())
    except (InvalidSignature, ValueError) as error:
        raise CertificateError(f"transfer {entry['number']}: the owner before did not sign it") from error


@dataclass(frozen=True)
class Logged:
    """An entry of the log, its proof, and what it says of people; `details` are None where they were erased."""

    entry: Mapping[str, Any]
    proof: Proof
    details: Mapping[str, str] | None
    salt: bytes

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Logged:
        """Of the JSON of `to_json`. Raises KeyError, TypeError, ValueError."""
        return cls(value["entry"], Proof.from_json(value["proof"]), value["details"], bytes.fromhex(value["salt"]))

    def to_json(self) -> dict[str, Any]:
        details = None if self.details is None else dict(self.details)
        proof = self.proof.to_json()
        return {"details": details, "entry": dict(self.entry), "proof": proof, "salt": self.salt.hex()}

    def verify(self, what: str, key: VerifierKey) -> None:
        """Raises CertificateError that names `what` and which part does not hold."""
        try:
            self.proof.verify(canonical(self.entry).encode(), key)
        except TransparencyError as error:
            raise CertificateError(f"{what}: {error}") from error
        if self.details is not None and salted_hash(self.salt, self.details).hex() != self.entry["details"]:
            raise CertificateError(f"{what}: its names are not those that were entered")


@dataclass(frozen=True)
class Certificate:
    """What a certificate says. Nothing of it counts before `verify`."""

    said: Mapping[str, Any]
    signature: str
    claim: Logged
    transfers: tuple[Logged, ...]

    @classmethod
    def parse(cls, document: bytes) -> Certificate:
        """Raises CertificateError for what is no certificate, or not written as the registry writes it."""
        try:
            fields = parse_json(document)
            if fields["type"] != CERTIFICATE or canonical(fields).encode() != document.rstrip(b"\n"):
                raise CertificateError("it is no certificate as a registry writes it: its text was changed")
            said = {name: value for name, value in fields.items() if name != "signature"}
            transfers = tuple(map(Logged.of, said["transfers"]))
            claim = Logged.of(said["claim"])
            _check(said, claim, transfers)
            return cls(said, fields["signature"], claim, transfers)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, CertificateError):
                raise
            raise CertificateError(f"it is no certificate, or damaged: {error}") from error

    @property
    def key(self) -> VerifierKey:
        """The key that it names. Anybody can name one: compare it with the one that the registry publishes."""
        try:
            return VerifierKey.parse(self.said["key"])
        except (KeyError, TransparencyError, AttributeError) as error:
            raise CertificateError("it names no key of a registry") from error

    @property
    def artwork(self) -> bytes:
        """The digest of the artwork (32 bytes)."""
        return bytes.fromhex(self.claim.entry["artwork"])

    @property
    def checkpoint(self) -> str:
        """The signed checkpoint that its proofs are for."""
        return self.claim.proof.checkpoint

    @property
    def owner(self) -> tuple[str, bytes]:
        """Name ("" where it was erased) and public key of who owns it."""
        last = self.transfers[-1] if self.transfers else self.claim
        key = last.entry["to"] if self.transfers else last.entry["owner_key"]
        return (last.details or {}).get("owner", ""), bytes.fromhex(key)

    def verify(self, key: VerifierKey) -> None:
        """Return where all of it holds: signature, entry, proof, names, chain of owners. Raises CertificateError."""
        try:
            Note.parse(signed_note(canonical(self.said), self.signature)).verify(key)
        except TransparencyError as error:
            raise CertificateError(f"the signature: {error}; certificate or key is another") from error
        self.claim.verify("the claim", key)
        owner = self.claim.entry["owner_key"]
        for number, each in enumerate(self.transfers, 1):
            each.verify(f"transfer {number}", key)
            entry = each.entry
            if (entry["number"], entry["from"], entry["artwork"]) != (number, owner, self.claim.entry["artwork"]):
                raise CertificateError(f"transfer {number}: it does not follow from the one before")
            verify_transfer(key.name, entry)
            owner = entry["to"]

    def verify_checkpoint(self, signed: str, key: VerifierKey) -> None:
        """Return where a checkpoint that was had elsewhere shows the same log. Raises CertificateError."""
        try:
            theirs, ours = Checkpoint.open(signed, key), Checkpoint.open(self.checkpoint, key)
        except TransparencyError as error:
            raise CertificateError(f"the checkpoint: {error}") from error
        if theirs.size != ours.size:
            how = "ask for a certificate or a checkpoint of the same size"
            raise CertificateError(f"the checkpoint has {theirs.size} entries, the certificate's {ours.size}: {how}")
        if theirs.root != ours.root:
            raise CertificateError("the checkpoints are of two different logs: this registry shows different entries")

    def shows(self, pixels: Pixels) -> bool:
        """Whether a picture (H, W, 3 or 4) is the one that was claimed, pixel for pixel."""
        return bool(marked_digest(pixels).hex() == self.claim.entry["pixels"]["marked"])


def _check(said: Mapping[str, Any], claim: Logged, transfers: tuple[Logged, ...]) -> None:
    """That what is looked at stands there: anybody can sign what does not. Raises KeyError, TypeError, ValueError."""
    entry, pixels, recipe = claim.entry, claim.entry["pixels"], claim.entry["recipe"]
    texts = [said["link"], said["log"], said["issued"], said["model"]["sale"], said["model"]["credits"], entry["time"]]
    texts += [*said["model"]["asks"], *recipe["conditions"].values(), recipe["model"], recipe["seed"]]
    texts += [
        recipe.get("recipe", ""),
        recipe["truncation"],
        *(text for each in (claim, *transfers) for text in (each.details or {}).values()),
    ]
    digits = [entry[name] for name in ("artwork", "file", "phash", "owner_key", "details")]
    digits += [pixels["marked"], pixels["unmarked"]]
    for each in transfers:
        texts.append(each.entry["time"])
        digits += [each.entry[name] for name in ("artwork", "from", "to", "signature", "details")]
    if not all(isinstance(text, str) for text in [*texts, *digits]) or type(recipe["index"]) is not int:
        raise TypeError("a field is not of its type")
    for text in digits:
        bytes.fromhex(text)


def signed_note(text: str, signature: str) -> str:
    """The note of which a certificate carries the signature: its canonical text is what was signed."""
    return f"{text}\n\n{signature}\n"
