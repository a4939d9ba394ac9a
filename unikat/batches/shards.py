"""A batch's files: shards as workers draw them, and the end, when their rows become the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from unikat.artwork import Renderer
from unikat.batch import LAYOUT_NAMES
from unikat.batches.contact import ContactSheet
from unikat.batches.layout import (
    CLAIM,
    CREDENTIALS,
    MANIFEST,
    PARTS,
    SHEET,
    DrawnImage,
    conditions_text,
    credentials_name,
    part_name,
    shard_files,
)
from unikat.batches.manifest import FORMAT_VERSION, LostShards, merge_parts, part_bytes
from unikat.batches.spec import BatchSpec, ShardJob
from unikat.batches.storage import DestinationError, DestinationRefused, Storage
from unikat.batches.storage_keys import key_id_of
from unikat.request import FORMAT_NAMES

__all__ = ["DrawnImage", "LostShards", "Renderer", "close_batch", "write_shard"]


def write_shard(
    storage: Storage,
    job: ShardJob,
    images: Sequence[DrawnImage],
    renderer: Renderer,
    *,
    begun: bool = False,
    credentials: bytes = b"",
) -> None:
    """Write a shard: its images, then its rows, so that a shard with rows is complete. Twice is as good as once.

    `begun`: shards of the batch were written before. Then a folder that is empty is one that has gone, a disk that is
    not mounted for instance: DestinationError. `credentials` are the bytes of `unikat.batches.credentials.sign_shard`.
    Raises DestinationRefused if the folder holds another batch, and ValueError if `images` are not those of the shard.
    """
    ordered = sorted(images, key=lambda image: image.index)
    if [image.index for image in ordered] != list(range(job.first, job.first + job.count)):
        raise ValueError(f"shard {job.shard} has {job.count} images from index {job.first} on; given were others")
    _claim(storage, _facts(job), begun)
    files, places = shard_files(job, job.shard, ordered)
    if credentials:
        files[credentials_name(job.shard)] = credentials
    storage.write_many(files)
    storage.write(part_name(job.shard), part_bytes(job, ordered, places, renderer))


def close_batch(storage: Storage, spec: BatchSpec, shards: Iterable[int], keep_parts: bool) -> str:
    """Write the manifest of these shards, in their order, and the contact sheet; returns the manifest's URL.

    "" if there are no shards. Twice is as good as once, and so is a crash and once more. `keep_parts`: more shards are
    to come. Raises LostShards for shards that were not written, DestinationRefused and DestinationError.
    """
    written = sorted(set(shards))
    if not written:
        with suppress(DestinationError, DestinationRefused):  # nothing has to be there
            _tidy(storage)
        return ""
    _claim(storage, _facts(spec), begun=True)
    sheet = ContactSheet(spec, written)
    merge_parts(storage, spec, written, sheet.see)
    picture = sheet.draw(storage)
    if picture is not None:
        storage.write(SHEET, picture)
    cells = [
        {"conditions": conditions_text(cell.weights), "count": cell.count}
        | ({"recipe": cell.sequence.to_json()} if cell.sequence else {})
        for cell in spec.cells
    ]
    extent = {"total": spec.total, "shard_size": spec.shard_size, "cells": cells}  # what only who ends it knows
    storage.write(CLAIM, _to_bytes(_facts(spec) | extent))
    if not keep_parts:
        parts = [name for name in storage.names(PARTS) if not name.endswith("/")]  # a folder is somebody else's
        storage.remove(f"{PARTS}/{name}" for name in parts)
    _tidy(storage)
    return storage.url_of(MANIFEST)


def _facts(of: BatchSpec | ShardJob) -> dict[str, Any]:
    """What `batch.json` says from the first shard on."""
    return {
        "format_version": FORMAT_VERSION,
        "fingerprint": of.fingerprint,
        "model": of.model,
        "model_digest": of.digest,
        "seed": of.seed,
        "truncation": of.truncation,
        "image_format": FORMAT_NAMES[of.image_format],
        "layout": LAYOUT_NAMES[of.layout],
        **({"encoder": of.encoder} if of.encoder else {}),
        **({"background": of.background} if of.background else {}),
        **({"mark": of.mark} if of.mark else {}),
        **({"originality": of.originality} if of.originality else {}),
        **({"deny": of.deny} if of.deny else {}),
        **({"recipes": True} if of.recipes else {}),
        **({"credentials": True} if of.credentials else {}),
    }


def _claim(storage: Storage, facts: dict[str, Any], begun: bool) -> None:
    """Make the folder the batch's own, or see that it is."""
    data = storage.read_many([CLAIM])[0]
    if data is None:
        if begun:
            raise DestinationError(f"{storage.url}: {CLAIM} is gone, and what was written with it")
        storage.create(CLAIM, _to_bytes(facts))
        data = storage.read(CLAIM)  # of those that come at the same moment, one was the first
    if key_id := key_id_of(data):
        text = f'{storage.url}: holds a batch that is encrypted with the key "{key_id}"'
        raise DestinationRefused(f"{text}; choose another folder, or remove its files")
    try:
        found = json.loads(data)["fingerprint"]
    except (ValueError, KeyError, TypeError) as error:
        raise DestinationRefused(f"{storage.url}: there is a {CLAIM} that no batch has written") from error
    if found != facts["fingerprint"]:
        raise DestinationRefused(f"{storage.url}: holds another batch; choose another folder, or remove its files")


def _to_bytes(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _tidy(storage: Storage) -> None:
    """Remove what killed workers left unfinished."""
    images = [f"images/{name.rstrip('/')}" for name in storage.names("images") if name.endswith("/")]
    for folder in ("", PARTS, "shards", CREDENTIALS, *images):
        storage.tidy(folder)
    storage.remove_folder(PARTS)
