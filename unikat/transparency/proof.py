"""That an entry is in the log: what a certificate carries, and whoever has the log's key verifies without a network."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from unikat.json_text import parse_json
from unikat.transparency.checkpoint import Checkpoint
from unikat.transparency.errors import InclusionError, NoteError
from unikat.transparency.merkle import HASH_BYTES, leaf_hash, root_from_inclusion
from unikat.transparency.note import VerifierKey

_FIELDS: Final = {"leaf_index": int, "tree_size": int, "hashes": list, "checkpoint": str}
_MOST_HASHES: Final = 64


@dataclass(frozen=True)
class Proof:
    """Entry `leaf_index` of the first `tree_size` ones: hashes (32 bytes each) from the leaf to the root, and a note.

    `checkpoint` is the signed checkpoint of that size.
    """

    leaf_index: int
    tree_size: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    def verify(self, leaf: bytes, key: VerifierKey) -> Checkpoint:
        """The checkpoint that the entry is in, signed by the key.

        Raises NoteError (a text that is none), SignatureError (the checkpoint is not signed by the key) and
        InclusionError (leaf and hashes do not lead to its root).
        """
        checkpoint = Checkpoint.open(self.checkpoint, key)
        if checkpoint.size != self.tree_size:
            raise InclusionError(f"the proof is for {self.tree_size} entries, and its checkpoint has {checkpoint.size}")
        try:
            root = root_from_inclusion(self.leaf_index, self.tree_size, leaf_hash(leaf), self.hashes)
        except ValueError as error:
            raise InclusionError(str(error)) from error
        if root != checkpoint.root:
            raise InclusionError(
                "the entry and the proof's hashes do not lead to the checkpoint's root: the entry is another, or the "
                "proof was changed"
            )
        return checkpoint

    def to_json(self) -> dict[str, Any]:
        """As certificates have it; hashes in base64."""
        hashes = [b64encode(each).decode() for each in self.hashes]
        fields = {"leaf_index": self.leaf_index, "tree_size": self.tree_size}
        return {**fields, "hashes": hashes, "checkpoint": self.checkpoint}

    @classmethod
    def from_json(cls, value: object) -> Proof:
        """The proof of what `to_json` gave. Raises NoteError that names the field."""
        if not isinstance(value, Mapping) or value.keys() != _FIELDS.keys():
            raise NoteError(f"a proof has the fields {', '.join(_FIELDS)}, and no others")
        for name, kind in _FIELDS.items():
            if type(value[name]) is not kind:  # bool is an int
                raise NoteError(f"{name}: must be {'text' if kind is str else f'a JSON {kind.__name__}'}")
        if not 0 <= value["leaf_index"] < value["tree_size"]:
            raise NoteError("leaf_index: must be at least 0 and less than tree_size")
        if len(value["hashes"]) > _MOST_HASHES:
            raise NoteError(f"hashes: at most {_MOST_HASHES}")
        hashes = tuple(_hash(each, place) for place, each in enumerate(value["hashes"]))
        return cls(value["leaf_index"], value["tree_size"], hashes, value["checkpoint"])

    def dumps(self) -> str:
        """The JSON text."""
        return json.dumps(self.to_json())

    @classmethod
    def loads(cls, text: str | bytes) -> Proof:
        """The proof of a JSON text. Raises NoteError."""
        try:
            value = parse_json(text)
        except ValueError as error:
            raise NoteError(f"a proof is JSON: {error}") from error
        return cls.from_json(value)


def _hash(text: object, place: int) -> bytes:
    try:
        data = b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != HASH_BYTES or b64encode(data).decode() != text:
        raise NoteError(f"hashes[{place}]: must be the base64 of {HASH_BYTES} bytes")
    return data
