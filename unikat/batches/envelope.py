"""How a batch is encrypted: its data key, wrapped by a storage key in `batch.json`, and each file under the data key.

All of it is AES-256-GCM of `cryptography`, with a random nonce of 96 bits before what was encrypted, and the tag of
128 bits behind it. Nonces are random, and never derived from a file's name: a shard that is drawn once more, on
another kind of processor, may have other bytes, and one nonce for two contents would give both away. A data key is of
one batch and encrypts each of its files once or a few times; SP 800-38D allows 2^32 random nonces a key, where the
chance that two are the same is below 2^-32.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, replace
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unikat.batches.layout import CLAIM
from unikat.batches.storage_keys import key_id_of
from unikat.json_text import parse_json

ALGORITHM: Final = "AES-256-GCM"
VERSION: Final = 1
KEY_BYTES: Final = 32
_NONCE: Final = 12
_TAG: Final = 16


class Altered(ValueError):
    """What was encrypted under this key and name is something else."""


def seal(key: bytes, purpose: str, data: bytes) -> bytes:
    """28 bytes more than `data`. Raises OverflowError beyond 2 GiB, which `cryptography` takes at most.

    `purpose` must be the same for `unseal`, so that a file under the name of another one is found.
    """
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data, _associated(purpose))


def unseal(key: bytes, purpose: str, data: bytes) -> bytes:
    """The inverse of `seal`. Raises Altered."""
    if len(data) < _NONCE + _TAG:
        raise Altered("too short")
    try:
        return AESGCM(key).decrypt(data[:_NONCE], memoryview(data)[_NONCE:], _associated(purpose))
    except InvalidTag as error:
        raise Altered("not what was encrypted") from error


def seal_file(data_key: bytes, name: str, data: bytes) -> bytes:
    """A file of a batch. The batch need not be in what is authenticated: no other one has its data key."""
    return seal(data_key, f"file {name}", data)


def unseal_file(data_key: bytes, name: str, data: bytes) -> bytes:
    """The inverse of `seal_file`. Raises Altered."""
    return unseal(data_key, f"file {name}", data)


@dataclass(frozen=True)
class Envelope:
    """`batch.json` of an encrypted batch: which key wraps the data key, that, and what it says only to who has it.

    `details` is the encrypted `batch.json` of the batch without encryption: seed and conditions are in it, from which
    whoever has the model could draw the images, and their hash, by which a guess could be confirmed.
    """

    key_id: str
    wrapped_key: bytes
    details: bytes

    @classmethod
    def create(cls, key_id: str, key: bytes, details: bytes) -> Envelope:
        """One with a fresh data key."""
        data_key = os.urandom(KEY_BYTES)
        return cls(key_id, seal(key, f"data key {key_id}", data_key), seal_file(data_key, CLAIM, details))

    @classmethod
    def parse(cls, data: bytes) -> Envelope:
        """Raises ValueError for what is not, byte for byte, what `to_bytes` writes."""
        try:
            content = parse_json(data)
            encryption = content["encryption"]
            wrapped, details = (base64.b64decode(text) for text in (encryption["wrapped_key"], content["details"]))
            found = cls(key_id_of(data), wrapped, details)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"not the {CLAIM} of an encrypted batch") from error
        if found.to_bytes() != data:
            raise ValueError(f"the {CLAIM} of an encrypted batch, of another version or changed")
        return found

    def to_bytes(self) -> bytes:
        """The file."""
        wrapped = base64.b64encode(self.wrapped_key).decode()
        content: dict[str, Any] = {
            "format_version": VERSION,
            "encryption": {"algorithm": ALGORITHM, "key": self.key_id, "wrapped_key": wrapped},
            "details": base64.b64encode(self.details).decode(),
        }
        return (json.dumps(content, indent=1) + "\n").encode()

    def data_key(self, key: bytes) -> bytes:
        """Raises Altered for another key than the one that wrapped it."""
        return unseal(key, f"data key {self.key_id}", self.wrapped_key)

    def with_details(self, data_key: bytes, details: bytes) -> Envelope:
        """The same batch, of which more is known."""
        return replace(self, details=seal_file(data_key, CLAIM, details))


def _associated(purpose: str) -> bytes:
    return f"unikat batch {VERSION}: {purpose}".encode()
