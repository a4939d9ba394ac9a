"""PNG files (RFC 2083) with zlib streams by libdeflate, a batch at a time."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import deflate
import numpy as np
import numpy.typing as npt

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final = {1: 0, 3: 2, 4: 6}  # channels to grey, RGB, RGBA
_UP: Final = 2  # filter type: each byte less the one above it
_CRC_OF_IDAT: Final = deflate.crc32(b"IDAT")


def encode_png(pixels: npt.NDArray[np.uint8], packets: Sequence[bytes]) -> list[bytes]:
    """Files of images of shape (N, H, W, channels), channels 1 (grey), 3 (RGB) or 4 (RGBA), each with its XMP packet.

    Filter *up* in every row, level 1 of libdeflate. Threads run beside one another while a stream is compressed. An
    empty packet is none.
    """
    _, height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    head = _SIGNATURE + _chunk(b"IHDR", header)
    rows = zip(_filter_up(pixels), packets, strict=True)
    return [_file(head + _xmp(packet), deflate.zlib_compress(row, 1)) for row, packet in rows]


def _filter_up(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Rows as PNG compresses them, the filter's type before each: (N, H · (1 + W · channels))."""
    count, height, width, channels = pixels.shape
    rows = pixels.reshape(count, height, width * channels)
    filtered = np.empty((count, height, 1 + width * channels), np.uint8)
    filtered[:, :, 0] = _UP
    filtered[:, 0, 1:] = rows[:, 0]  # above the first row are zeros
    np.subtract(rows[:, 1:], rows[:, :-1], out=filtered[:, 1:, 1:])  # modulo 256
    return filtered.reshape(count, height * (1 + width * channels))


def _file(head: bytes, stream: bytearray) -> bytes:
    checksum = deflate.crc32(stream, _CRC_OF_IDAT)
    return b"".join((head, struct.pack(">I4s", len(stream), b"IDAT"), stream, struct.pack(">I", checksum), _END))


def _xmp(packet: bytes) -> bytes:
    # Neither compressed (XMP's rule for PNG) nor in a language.
    return _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet) if packet else b""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", deflate.crc32(kind + data))


_END: Final = _chunk(b"IEND", b"")
