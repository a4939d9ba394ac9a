"""MP4 with AV1, from what an AVIF image sequence holds: both are ISO base media files (ISO/IEC 14496-12).

AVIF sequences have a picture track of the same samples; players of videos want a video track.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_XMP: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # the UUID of XMP (ISO 16684-3)
_MATRIX: Final = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)  # as it is
_NEVER: Final = 0  # of a time of creation: the same film gives the same bytes
_NO_LANGUAGE: Final = 0x55C4  # "und", as three letters of five bits
_ENTRY: Final = 78  # bytes of a VisualSampleEntry before the boxes in it


@dataclass(frozen=True)
class _Track:
    """`entry` is the sample entry's boxes (av1C, colr), `keys` are the numbers of samples to begin at, from 1."""

    size: tuple[int, int]
    entry: bytes
    samples: list[bytes]
    keys: list[int]


def mp4_of(avif: bytes, fps: int, packet: bytes) -> bytes:
    """The film as MP4, which a player can begin to show before it has all of it, with `packet` as its XMP.

    Raises ValueError for what is no AVIF sequence as libavif writes it.
    """
    try:
        track = _read_track(avif)
    except (KeyError, IndexError, struct.error) as error:
        raise ValueError(f"no AVIF sequence of a known form: {error!r}") from error
    head = _box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isomav01iso2mp41") + _box(b"uuid", _XMP, packet)
    start = len(head) + len(_movie(track, fps, 0)) + 8
    return b"".join([head, _movie(track, fps, start), _box(b"mdat", *track.samples)])


def _read_track(avif: bytes) -> _Track:
    moov = _children(avif)[b"moov"]
    media = _children(_children(moov)[b"trak"])[b"mdia"]
    table = _children(_children(_children(media)[b"minf"])[b"stbl"])
    entry = table[b"stsd"][16:]  # behind version, flags, count, and the entry's size and type
    size = struct.unpack_from(">HH", entry, 24)
    boxes = _children(entry[_ENTRY:])
    kept = b"".join(_box(kind, boxes[kind]) for kind in (b"av1C", b"colr") if kind in boxes)
    (count,) = struct.unpack_from(">I", table[b"stsz"], 8)
    sizes = struct.unpack_from(f">{count}I", table[b"stsz"], 12)
    samples = list(_samples(avif, table, sizes))
    keys = table.get(b"stss")
    (number,) = struct.unpack_from(">I", keys, 4) if keys else (0,)
    return _Track(size, kept, samples, list(struct.unpack_from(f">{number}I", keys, 8)) if keys else [])


def _samples(avif: bytes, table: dict[bytes, bytes], sizes: tuple[int, ...]) -> Iterator[bytes]:
    """By the table's chunks: where each begins, and from which chunk on how many samples a chunk has."""
    (chunks,) = struct.unpack_from(">I", table[b"stco"], 4)
    starts = struct.unpack_from(f">{chunks}I", table[b"stco"], 8)
    (runs,) = struct.unpack_from(">I", table[b"stsc"], 4)
    counts = dict(struct.unpack_from(">II", table[b"stsc"], 8 + 12 * run) for run in range(runs))
    sample, each = 0, 0
    for chunk, at in enumerate(starts, 1):
        each = counts.get(chunk, each)
        for size in sizes[sample : sample + each]:
            yield avif[at : at + size]
            at += size
        sample += each


def _children(data: bytes) -> dict[bytes, bytes]:
    """Boxes by their type, the first of each."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            raise ValueError(f"a box of {size} bytes")
        found.setdefault(kind, data[at + 8 : at + size])
        at += size
    return found


def _movie(track: _Track, fps: int, start: int) -> bytes:
    """`moov`: one video track with one chunk of samples that begins at byte `start`. A unit of time is a frame."""
    frames = len(track.samples)
    header = struct.pack(">IIII", _NEVER, _NEVER, fps, frames)
    movie = header + struct.pack(">iHHQ", 0x10000, 0x100, 0, 0) + _MATRIX + bytes(24) + struct.pack(">I", 2)
    shown = struct.pack(">IIIII", _NEVER, _NEVER, 1, 0, frames) + bytes(16) + _MATRIX
    shown += struct.pack(">II", track.size[0] << 16, track.size[1] << 16)
    media = _box(
        b"mdia",
        _full(b"mdhd", header + struct.pack(">HH", _NO_LANGUAGE, 0)),
        _full(b"hdlr", bytes(4) + b"vide" + bytes(12) + b"film\0"),
        _box(
            b"minf",
            _full(b"vmhd", bytes(8), flags=1),
            _box(b"dinf", _full(b"dref", struct.pack(">I", 1) + _full(b"url ", b"", flags=1))),
            _sample_table(track, start),
        ),
    )
    return _box(b"moov", _full(b"mvhd", movie), _box(b"trak", _full(b"tkhd", shown, flags=3), media))


def _sample_table(track: _Track, start: int) -> bytes:
    sizes = [len(sample) for sample in track.samples]
    entry = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", *track.size)
    entry += struct.pack(">IIIH", 0x480000, 0x480000, 0, 1) + bytes(32) + struct.pack(">Hh", 24, -1)
    keys = _full(b"stss", struct.pack(f">I{len(track.keys)}I", len(track.keys), *track.keys)) if track.keys else b""
    return _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1) + _box(b"av01", entry, track.entry)),
        _full(b"stts", struct.pack(">III", 1, len(sizes), 1)),
        keys,
        _full(b"stsc", struct.pack(">IIII", 1, 1, len(sizes), 1)),
        _full(b"stsz", struct.pack(f">II{len(sizes)}I", 0, len(sizes), *sizes)),
        _full(b"stco", struct.pack(">II", 1, start)),
    )


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + kind + content


def _full(kind: bytes, content: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), content)
