"""Decoders of what proves something: encrypted batches, credentials, statements of pictures, keys and certificates."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image

from tests.fuzz.inputs import SCRATCH, SEPARATOR
from unikat.batches.envelope import Envelope, unseal_file
from unikat.batches.storage_keys import key_id_of
from unikat.cli.authority import Authority, names_in
from unikat.content_credentials.reading import read
from unikat.content_credentials.signing import MEDIA_TYPES, KeyFileSigner
from unikat.mark_keys import read_mark_keys
from unikat.metadata import read_statement
from unikat.tls import Certificate

STORAGE_KEY: Final = bytes(range(32))
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"


def envelope(content: bytes) -> None:
    """`batch.json` of an encrypted batch, opened as by who has the key; what it tells, as if it were a file."""
    key_id_of(content)
    found = Envelope.parse(content)
    unseal_file(found.data_key(STORAGE_KEY), "batch.json", found.details)


def credentials(content: bytes) -> None:
    """A picture with credentials in it, or credentials beside a picture; the first byte says of which type."""
    kind, content = content[0] if content else 0, content[1:]
    media_type = MEDIA_TYPES[(kind & 0x7F) % len(MEDIA_TYPES)]
    if kind & 0x80:
        read(plain(media_type), media_type, content)
    else:
        read(content, media_type)


def plain(media_type: str) -> bytes:
    """A picture of one pixel."""
    sink = io.BytesIO()
    Image.new("RGB", (1, 1), (200, 10, 20)).save(sink, media_type.rpartition("/")[2])
    return sink.getvalue()


def statement(content: bytes) -> None:
    """A picture with an XMP packet; or, behind a first byte of 0, the packet alone, in a JPEG."""
    read_statement(with_packet(content[1:]) if content[:1] == b"\0" else content)


def with_packet(packet: bytes) -> bytes:
    """A JPEG with an XMP packet."""
    data = plain("image/jpeg")
    segment = _XMP + packet[: 2**16 - 64]
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def keys(content: bytes) -> None:
    """A file of keys, of watermarks or of storage."""
    with tempfile.NamedTemporaryFile(dir=SCRATCH) as file:
        file.write(content)
        file.flush()
        read_mark_keys(Path(file.name))


def certificate(content: bytes) -> None:
    """A chain of certificates and its key (PEM), as a signer, a server, an authority and an anchor takes them."""
    chain, key = (*content.split(SEPARATOR, 1), b"")[:2]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        files = Path(folder) / "ca.crt", Path(folder) / "ca.key"
        for file, data in zip(files, (chain, key), strict=True):
            file.write_bytes(data)
        for load in (
            lambda: KeyFileSigner(*files),
            lambda: Certificate(*files, files[0]),
            lambda: Authority.load(Path(folder)),
            lambda: names_in(chain),
            lambda: read(plain("image/png"), "image/png", anchors=chain),
        ):
            try:
                load()
            except (OSError, ValueError):
                continue
