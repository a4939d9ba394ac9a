"""Signed notes (c2sp.org/signed-note): a text, a blank line, and a line a signature. Ed25519 keys."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from unikat.transparency.errors import NoteError, SignatureError

ED25519: Final = b"\x01"  # signature type
SEED_BYTES: Final = 32
_PUBLIC_BYTES: Final = 32
_ID_BYTES: Final = 4
_MOST_SIGNATURES: Final = 100
_DASH: Final = "\N{EM DASH} "


@dataclass(frozen=True)
class VerifierKey:
    """Who may have signed: a name, and an Ed25519 public key (32 bytes). Its text is "name+id+base64"."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public) != _PUBLIC_BYTES:
            raise NoteError(f"an Ed25519 public key has {_PUBLIC_BYTES} bytes, not {len(self.public)}")

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """The key of its text. Raises NoteError."""
        parts = text.strip().split("+", 2)  # base64 has plus signs, names have none
        if len(parts) != 3:
            raise NoteError('the text of a verifier key is "name+id+base64"')
        data = _decode(parts[2], "the verifier key")
        if data[:1] != ED25519:
            raise NoteError("the verifier key is not of type Ed25519 (1)")
        key = cls(parts[0], data[1:])
        if parts[1] != key.id.hex():
            raise NoteError(f"the verifier key's id is {key.id.hex()}, not {parts[1][:20]}")
        return key

    @property
    def id(self) -> bytes:
        """Four bytes by which a signature says whose it is."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(ED25519 + self.public).decode()}"

    def verify(self, text: str, signature: bytes) -> None:
        """Raises SignatureError where this key did not sign the text."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature as error:
            raise SignatureError(f"the signature of {self.name} ({self.id.hex()}) is not of this text") from error


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 secret key (its seed, 32 bytes) under the name that notes show."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.seed) != SEED_BYTES:
            raise NoteError(f"the seed of an Ed25519 key has {SEED_BYTES} bytes, not {len(self.seed)}")

    @property
    def verifier(self) -> VerifierKey:
        """Its public half."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return VerifierKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The line with the signature of a text, which ends with a line feed."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode())
        return f"{_DASH}{self.name} {b64encode(self.verifier.id + signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text, and its signatures: (name, key id, signature)."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def parse(cls, signed: str) -> Note:
        """Raises NoteError for what is no signed note."""
        body, blank, tail = signed.rpartition("\n\n")
        if not blank or not tail.endswith("\n"):
            raise NoteError("a signed note is a text, a blank line, and lines of signatures")
        if any(ord(each) < 0x20 and each != "\n" for each in signed):
            raise NoteError("a signed note has no control characters but line feeds")
        lines = tail[:-1].split("\n")
        if len(lines) > _MOST_SIGNATURES:
            raise NoteError(f"the note has more than {_MOST_SIGNATURES} signatures")
        return cls(f"{body}\n", tuple(_signature(line) for line in lines))

    def verify(self, key: VerifierKey) -> None:
        """Raises SignatureError where the key did not sign the note. Signatures of other keys are left aside."""
        ours = [signature for name, id, signature in self.signatures if (name, id) == (key.name, key.id)]
        if not ours:
            raise SignatureError(f"no signature is of {key.name} ({key.id.hex()})")
        for signature in ours:
            key.verify(self.text, signature)


def check_name(name: str) -> str:
    """The name of a key, or an origin. Raises NoteError."""
    if not name or "+" in name or not name.isprintable() or any(each.isspace() for each in name):
        raise NoteError(f'a name has 1 or more printable characters without spaces and "+", not {name[:40]!r}')
    return name


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.removeprefix(_DASH).split(" ")
    if not line.startswith(_DASH) or len(parts) != 2:
        raise NoteError(f'a line of a signature is "{_DASH}name base64", not {line[:40]!r}')
    data = _decode(parts[1], "a signature")
    if len(data) <= _ID_BYTES:
        raise NoteError("a signature has more bytes than the key's id")
    return check_name(parts[0]), data[:_ID_BYTES], data[_ID_BYTES:]


def _decode(text: str, what: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"{what} is no base64") from error
    if b64encode(data).decode() != text:  # bits that decoders drop: one text a value
        raise NoteError(f"{what} is no base64 as it is written by the rules")
    return data
