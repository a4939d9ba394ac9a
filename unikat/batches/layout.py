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
CREDENTIALS: Final = "credentials"  # folder: a tar file a shard, with the Content Credentials of its images
SHEET: Final = "contact-sheet.png"
CLAIM: Final = "batch.json"
# Column, where some images are not of the batch's seed: their latents; empty for the others.
RECIPE: Final = "recipe"
PARTS: Final = ".unikat"  # folder: the rows of each shard, until the manifest is written

# By the numbers of the proto's ImageFormat. A format that this version does not know is a KeyError.
MEDIA_TYPES: Final[dict[int, str]] = {number: f"image/{name}" for name, number in FORMATS.items()}
_SUFFIXES: Final = {number: SUFFIXES[media_type][0] for number, media_type in MEDIA_TYPES.items()}

Row = dict[str, Any]  # of the manifest
BLOCK: Final = 512  # bytes; a tar file is made of such blocks
END_OF_TAR: Final = bytes(2 * BLOCK)


@dataclass(frozen=True)
class Measured:
    """How near a drawing is to the training pictures, as in `Originality`; None: not measured."""

    attempt: int = 0
    distance: float | None = None
    percentile: float | None = None


@dataclass(frozen=True)
class DrawnImage:
    """One image of a shard: `weights` for every attribute of the model, `data` the bytes of an image file.

    `refused` is the name of the reason for which it is not delivered, `detail` what was measured; then it has no bytes.
    `recipe` (`unikat.recipes.text`) says what was drawn, where that is not image `index` of the batch's seed.
    """

    index: int
    id: str
    weights: Weights
    data: bytes
    refused: str = ""
    detail: str = ""
    measured: Measured = Measured()
    recipe: str = ""


@dataclass(frozen=True)
class Place:
    """Where an image is: a file by its name in the destination, and where in it the image's bytes begin."""

    file: str
    offset: int


NOWHERE: Final = Place("", 0)  # of an image that was refused


def common_of(row: Row) -> Common:
    """What a row says of its batch."""
    layout = LAYOUT_WEBDATASET if row["file"].startswith("shards/") else LAYOUT_FILES
    image_format = next(number for number, media_type in MEDIA_TYPES.items() if media_type == row["media_type"])
    background, mark = row.get("background") or "", row.get("mark") or ""
    facts = row["model"], row["model_digest"], row["seed"], row["truncation"]
    return Common(*facts, image_format, layout, background=background, mark=mark, recipes=RECIPE in row)


def part_name(shard: int) -> str:
    """Name of the file with a shard's rows."""
    return f"{PARTS}/{shard:05}.parquet"


def credentials_name(shard: int) -> str:
    """Name of the file with the Content Credentials of a shard's images."""
    return f"{CREDENTIALS}/{shard:05}.tar"


def shard_files(common: Common, shard: int, images: Sequence[DrawnImage]) -> tuple[dict[str, bytes], list[Place]]:
    """A shard's files by name, and for each image where it is in them; those that were refused are in none."""
    suffix = _SUFFIXES[common.image_format]
    if common.layout == LAYOUT_FILES:
        names = [f"images/{shard:05}/{image.index:07}{suffix}" for image in images]
        files = {name: image.data for name, image in zip(names, images, strict=True) if not image.refused}
        return files, [Place("" if image.refused else name, 0) for name, image in zip(names, images, strict=True)]
    name, places, blocks, at = f"shards/{shard:05}.tar", [], [], 0
    for image in images:
        if image.refused:
            places.append(NOWHERE)
            continue
        entry = Entry(image.index, image.id, conditions_text(image.weights), image.recipe)
        head, tail = tar_around(common, entry, len(image.data))
        places.append(Place(name, at + len(head)))
        blocks += [head, image.data, tail]
        at += len(head) + len(image.data) + len(tail)
    return {name: b"".join([*blocks, END_OF_TAR])} if blocks else {}, places


@dataclass(frozen=True, slots=True)
class Entry:
    """What an image's JSON file in a tar says of it alone; `recipe` is "" for an image of the batch's seed."""

    index: int
    id: str
    conditions: Mapping[str, str]
    recipe: str = ""


def tar_around(common: Common, entry: Entry, size: int, *, earlier: bool = False) -> tuple[bytes, bytes]:
    """What stands before and after an image of `size` bytes in a tar file: headers, padding and its JSON file.

    `earlier`: as workers wrote it whose blends were objects there.
    """
    suffix = _SUFFIXES[common.image_format]
    conditions = _with_objects(entry.conditions) if earlier else dict(entry.conditions)
    about = _about(common, entry, conditions)
    head = tar_header(f"{entry.index:07}{suffix}", size)
    tail = b"".join([bytes(-size % BLOCK), tar_header(f"{entry.index:07}.json", len(about)), about])
    return head, tail + bytes(-len(about) % BLOCK)


def _about(common: Common, entry: Entry, conditions: Mapping[str, Any]) -> bytes:
    """The JSON file beside an image. A condition is text, also where it is a blend: readers want one type a field."""
    content = {
        "id": entry.id,
        "index": entry.index,
        "seed": common.seed,
        **({"recipe": entry.recipe} if entry.recipe else {}),
        "truncation": common.truncation,
        "conditions": conditions,
        "model": common.model,
        "model_digest": common.digest,
        **({"background": common.background} if common.background else {}),
        **({"mark": common.mark} if common.mark else {}),
    }
    return (json.dumps(content, ensure_ascii=False) + "\n").encode()


def _with_objects(conditions: Mapping[str, str]) -> dict[str, Any]:
    weights = parse_conditions(conditions)
    return {name: next(iter(of)) if _is_category(of) else of for name, of in weights.items()}


def tar_header(name: str, size: int) -> bytes:
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
