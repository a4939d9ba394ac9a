"""Films as WebP, APNG and MP4."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image

from unikat.film.mp4 import mp4_of
from unikat.film.reel import Film, Reel

QUALITY: Final = 90  # of WebP and AV1, of 100
_PNG: Final = b"\x89PNG\r\n\x1a\n"

Encoder = Callable[[Film, Iterable[Image.Image], BinaryIO], None]


def write_webp(film: Film, frames: Iterable[Image.Image], file: BinaryIO) -> None:
    """With loss, alpha kept."""
    milliseconds = [round((i + 1) * 1000 / film.fps) - round(i * 1000 / film.fps) for i in range(film.frames)]
    Reel(film, frames).save(
        file, "WEBP", save_all=True, duration=milliseconds, loop=0 if film.loop else 1, quality=QUALITY, method=4,
        xmp=film.packet,
    )  # fmt: skip


def write_apng(film: Film, frames: Iterable[Image.Image], file: BinaryIO) -> None:
    """Every pixel as it is. Pillow keeps all frames of an APNG until the last: here each is written as it comes."""
    file.write(_PNG)
    header = struct.pack(">IIBBBBB", *film.size, 8, 6 if film.mode == "RGBA" else 2, 0, 0, 0)
    _chunk(file, b"IHDR", header)
    _chunk(file, b"acTL", struct.pack(">II", film.frames, 0 if film.loop else 1))
    _chunk(file, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + film.packet)
    reel, number = Reel(film, frames), 0
    for frame in range(film.frames):
        reel.seek(frame)
        # The whole picture, for 1 / fps seconds, in place of the one before.
        _chunk(file, b"fcTL", struct.pack(">IIIIIHHBB", number, *film.size, 0, 0, 1, film.fps, 0, 0))
        number += 1
        for data in _pixel_chunks(reel):
            if frame == 0:
                _chunk(file, b"IDAT", data)
                continue
            _chunk(file, b"fdAT", struct.pack(">I", number) + data)
            number += 1
    _chunk(file, b"IEND", b"")


def write_mp4(film: Film, frames: Iterable[Image.Image], file: BinaryIO) -> None:
    """AV1, with loss. Raises ValueError for frames with alpha, which a video has not."""
    if film.mode != "RGB":
        raise ValueError("MP4 has no alpha")
    # Pillow encodes AV1 as an AVIF sequence only; what it has encoded is put into another container.
    encoded = BytesIO()
    Reel(film, frames).save(
        encoded, "AVIF", save_all=True, duration=1000 // film.fps, quality=QUALITY, subsampling="4:2:0",
        range="limited", codec="aom", speed=9, max_threads=1,
    )  # fmt: skip
    file.write(mp4_of(encoded.getvalue(), film.fps, film.packet))


FORMATS: Final[Mapping[str, Encoder]] = {".webp": write_webp, ".png": write_apng, ".mp4": write_mp4}


def encoder_of(path: Path) -> Encoder:
    """By a file's ending. Raises ValueError for one that no film has."""
    encoder = FORMATS.get(path.suffix.lower())
    if encoder is None:
        raise ValueError(f"the name must end in {', '.join(FORMATS)}")
    return encoder


def _chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def _pixel_chunks(frame: Image.Image) -> Iterator[bytes]:
    """What the IDAT chunks of a frame's PNG hold."""
    buffer = BytesIO()
    Image.Image.save(frame, buffer, "PNG")
    data, at = buffer.getbuffer(), len(_PNG)
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            yield bytes(data[at + 8 : at + 8 + size])
        at += 12 + size
