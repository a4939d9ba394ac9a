"""HTTP/2 frames of a service's responses, some of whose streams are reset, as load balancers do.

The connection lives on; only the stream is ended, by RST_STREAM with an error code (RFC 9113, section 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL = 0, 1, 2, 8

_HEAD: Final = 9  # bytes before every frame: length (3), type, flags, stream (4)
_DATA, _HEADERS, _RST_STREAM, _CONTINUATION = 0, 1, 3, 9


@dataclass
class Resets:
    """`left` more streams are reset with `code`, each behind `after` DATA frames of the service."""

    code: int = CANCEL
    after: int = 0
    left: int = 0


class Frames:
    """The responses of one connection. `feed` takes bytes as they come and says what goes to whom."""

    def __init__(self, resets: Resets) -> None:
        self._resets = resets
        self._buffer = bytearray()
        self._frames: dict[int, int] = {}
        self._dead: set[int] = set()

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Bytes for the client and bytes for the service, once more bytes of the service have come."""
        self._buffer += data
        to_client, to_service = bytearray(), bytearray()
        while len(self._buffer) >= _HEAD:
            end = _HEAD + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < end:
                break
            frame = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._take(frame, to_client, to_service)
        return bytes(to_client), bytes(to_service)

    def _take(self, frame: bytes, to_client: bytearray, to_service: bytearray) -> None:
        resets, kind, stream = self._resets, frame[3], int.from_bytes(frame[5:_HEAD], "big") & 0x7FFFFFFF
        before = self._frames.get(stream, 0)
        if kind == _DATA and before == resets.after and resets.left > 0 and stream not in self._dead:
            resets.left -= 1
            self._dead.add(stream)
            to_client += _reset(stream, resets.code)
            to_service += _reset(stream, CANCEL)
        elif stream not in self._dead or kind in (_HEADERS, _CONTINUATION):  # which others are compressed against
            to_client += frame
        self._frames[stream] = before + (kind == _DATA)


def _reset(stream: int, code: int) -> bytes:
    return (4).to_bytes(3, "big") + bytes([_RST_STREAM, 0]) + stream.to_bytes(4, "big") + code.to_bytes(4, "big")
