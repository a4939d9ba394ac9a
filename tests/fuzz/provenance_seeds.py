"""First inputs of the decoders in `provenance.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from tests.fuzz.inputs import SEPARATOR
from tests.fuzz.provenance import STORAGE_KEY, plain, with_packet
from tests.support.content import FIRST
from unikat.batches.envelope import Envelope
from unikat.cli.authority import Authority
from unikat.content_credentials.signing import MEDIA_TYPES, KeyFileSigner, embed, sidecar
from unikat.metadata import Packets, recipe_text

FRESH: Final = ("envelope", "credentials", "certificate")  # made of random keys: not written again
_DAYS: Final = 36_500


def provenance_seeds() -> dict[str, list[bytes]]:
    """Target -> inputs."""
    envelope = Envelope.create("k-1", STORAGE_KEY, b'{"format_version": 1}\n')
    packet = Packets("tiny@1", "sha256:0").packet(bytes(32), (7, 3), 0, recipe_text({"style": {"ink": 1.0}}, 0.5, ""))
    line = b"studio " + b"0a" * 32 + b"\n"
    return {
        "envelope": [envelope.to_bytes()],
        "credentials": _credentials(),
        "statement": [b"\0" + packet, with_packet(packet), plain("image/png"), plain("image/webp")],
        "keys": [line, b"# of the studio\n\n" + line + b"old-1\t" + b"F1" * 32],
        "certificate": _certificates(),
    }


def _credentials() -> list[bytes]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        Authority.create().issue_signer("A studio", 1).save(Path(folder), "sign")
        signer = KeyFileSigner(Path(folder) / "sign.crt", Path(folder) / "sign.key")
        for number, media_type in enumerate(MEDIA_TYPES):
            data = plain(media_type)
            found.append(bytes([number]) + embed(data, media_type, FIRST, signer))
            found.append(bytes([number | 0x80]) + sidecar(data, media_type, FIRST, signer))
    return found


def _certificates() -> list[bytes]:
    authority = Authority.create()
    with tempfile.TemporaryDirectory() as folder:
        authority.save(Path(folder), "ca")
        root, key = ((Path(folder) / name).read_bytes() for name in ("ca.crt", "ca.key"))
    pair = authority.issue_signer("A studio", _DAYS)
    return [pair.certificate + SEPARATOR + pair.key, root + SEPARATOR + key, pair.certificate + SEPARATOR + key]
