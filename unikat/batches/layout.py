"""What stands in a batch's files, byte for byte, and where: pure functions of what was drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from unikat.artwork import SUFFIXES
from unikat.batches.spec import Common
from unikat.conditions import Weights
from unikat.request import FORMATS
from unikat.v1.batches_pb2 import LAYOUT_FILES, LAYOUT_WEBDATASET

MANIFEST: Final = "manifest.parquet"
SHEET: Final = "contact-sheet.png"
CLAIM: Final = "batch.json"
PARTS: Final = ".unikat"  # folder: the rows of each shard, until the manifest is written

# By the numbers of the proto's ImageFormat. A format that this version does not know is a KeyError.
MEDIA_TYPES: Final[dict[int, str]] = {number: f"image/{name}" for name, number in FORMATS.items()}
_SUFFIXES: Final = {number: SUFFIXES[media_type][0] for number, media_type in MEDIA_TYPES.items()}

Row = dict[str, Any]  # of the manifest
BLOCK: Final = 512  # bytes; a tar file is made of such blocks
END_OF_TAR: Final = bytes(2 * BLOCK)


@dataclass(frozen=True)
class DrawnImage:
    """One image of a shard: `weights` for every attribute of the model, `data` the bytes of an image file."""

    index: int
    id: str
    weights: Weights
    data: bytes


@dataclass(frozen=True)
class Place:
    """Where an image is: a file by its name in the destination, and where in it the image's bytes begin."""

    file: str
    offset: int


def common_of(row: Row) -> Common:
    """What a row says of its batch."""
    layout = LAYOUT_WEBDATASET if row["file"].startswith("shards/") else LAYOUT_FILES
    image_format = next(number for number, media_type in MEDIA_TYPES.items() if media_type == row["media_type"])
    background = row.get("background") or ""
    facts = row["model"], row["model_digest"], row["seed"], row["truncation"]
    return Common(*facts, image_format, layout, background=background)


def part_name(shard: int) -> str:
    """Name of the file with a shard's rows."""
    return f"{PARTS}/{shard:05}.parquet"


def shard_files(common: Common, shard: int, images: Sequence[DrawnImage]) -> tuple[dict[str, bytes], list[Place]]:
    """A shard's files by name, and for each image where it is in them."""
    suffix = _SUFFIXES[common.image_format]
    if common.layout == LAYOUT_FILES:
        places = [Place(f"images/{shard:05}/{image.index:07}{suffix}", 0) for image in images]
        return {place.file: image.data for place, image in zip(places, images, strict=True)}, places
    name, places, blocks, at = f"shards/{shard:05}.tar", [], [], 0
    for image in images:
        head, tail = tar_around(common, image.index, image.id, conditions_text(image.weights), len(image.data))
        places.append(Place(name, at + len(head)))
        blocks += [head, image.data, tail]
        at += len(head) + len(image.data) + len(tail)
    return {name: b"".join([*blocks, END_OF_TAR])}, places


def tar_around(
    common: Common, index: int, id: str, conditions: Mapping[str, str], size: int, *, earlier: bool = False
) -> tuple[bytes, bytes]:
    """What stands before and after an image of `size` bytes in a tar file: headers, padding and its JSON file.

    `earlier`: as workers wrote it whose blends were objects there.
    """
    suffix = _SUFFIXES[common.image_format]
    about = _about(common, index, id, _with_objects(conditions) if earlier else dict(conditions))
    head = _tar_header(f"{index:07}{suffix}", size)
    tail = b"".join([bytes(-size % BLOCK), _tar_header(f"{index:07}.json", len(about)), about])
    return head, tail + bytes(-len(about) % BLOCK)


def _about(common: Common, index: int, id: str, conditions: Mapping[str, Any]) -> bytes:
    """The JSON file beside an image. A condition is text, also where it is a blend: readers want one type a field."""
    content = {
        "id": id,
        "index": index,
        "seed": common.seed,
        "truncation": common.truncation,
        "conditions": conditions,
        "model": common.model,
        "model_digest": common.digest,
        **({"background": common.background} if common.background else {}),
    }
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()


def _with_objects(conditions: Mapping[str, str]) -> dict[str, Any]:
    weights = parse_conditions(conditions)
    return {name: next(iter(of)) if _is_category(of) else of for name, of in weights.items()}


def _tar_header(name: str, size: int) -> bytes:
    """A ustar header with nothing of this machine and moment in it: Python's own takes ten times as long."""
    fields = b"%b%b%011o\0%b" % (name.encode().ljust(100, b"\0"), _OWNER, size, _MOMENT)
    checksum = sum(fields) + 8 * 0x20 + _REST_SUM  # the checksum's own bytes count as spaces
    return b"%b%06o\0 %b" % (fields, checksum, _REST)


_OWNER: Final = b"0000644\0" + b"0000000\0" * 2  # mode, user, group
_MOMENT: Final = b"00000000000\0"
_REST: Final = (b"0" + bytes(100) + b"ustar\x0000").ljust(BLOCK - 156, b"\0")  # an ordinary file
_REST_SUM: Final = sum(_REST)


def conditions_text(weights: Weights) -> dict[str, str]:
    """Attribute -> "heart", or "face:0.7,heart:0.3" for a blend; by name, so that equal weights give equal text."""
    return {name: _weights_text(weights[name]) for name in sorted(weights)}


def _weights_text(of: Mapping[str, float]) -> str:
    # A category's name has neither ":" nor "," in it (`unikat.bundle.UNTYPABLE`).
    return next(iter(of)) if _is_category(of) else ",".join(f"{name}:{of[name]!r}" for name in sorted(of))


def _is_category(of: Mapping[str, float]) -> bool:
    return len(of) == 1 and next(iter(of.values())) == 1.0


def parse_conditions(conditions: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """The inverse of `conditions_text`. Raises ValueError for what it does not write."""
    if not isinstance(conditions, dict) or not all(isinstance(text, str) for text in conditions.values()):
        raise ValueError("conditions must be texts by the name of their attribute")
    return {name: _parse_weights(text) for name, text in conditions.items()}


def _parse_weights(text: str) -> dict[str, float]:
    if ":" not in text:
        return {text: 1.0}
    pairs = [part.partition(":") for part in text.split(",")]
    return {name: float(weight) for name, _, weight in pairs}
