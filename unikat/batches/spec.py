"""What a batch draws, cut into shards: pure functions of the request, so that a shard can be drawn again anywhere."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, product
from typing import Any, Final

from unikat.conditions import Denied, Weights, are_denied, are_weights, is_finite
from unikat.json_text import parse_json
from unikat.recipes.mix import Mix
from unikat.recipes.sequence import MixSequence, sequence_from_json
from unikat.refusal import MODES

DRAW_SHARD: Final = "worker.jobs.draw_shard"  # a name, as `unikat.jobs.DRAW`
CLOSE_BATCH: Final = "worker.jobs.close_batch"

MAX_SHARD_SIZE: Final = 4096  # images: what a crash costs at most, and what a worker holds in memory as a whole


@dataclass(frozen=True)
class Cell:
    """`count` images with the same conditions; attributes that `weights` leaves out are drawn for each image.

    Their latents are those of a recipe's or a walk's images, from number `first` on, if there is a `sequence`.
    """

    weights: Weights
    count: int
    sequence: MixSequence | None = None
    first: int = 0

    def mix(self, position: int) -> Mix | None:
        """The latent of an image of the cell, counted from 0; None where it is that of the batch's seed."""
        return None if self.sequence is None else self.sequence.at(self.first + position)


@dataclass(frozen=True)
class Common:
    """What all images of a batch have in common. `model` is "name@version".

    `image_format` and `layout` are values of the proto enums; `encoder` is the name of what encodes the images;
    `background` is "#rrggbbaa" for a model with alpha, else "";
    `mark` is the id of the key of the images' watermarks, "" for images without marks.
    `encryption_key` is the id of the storage key that the files are encrypted with, "" for none. `originality` and
    `deny` are as in a `DrawJob`. `recipes`: some images are not of the seed, so rows and files say of what all are.
    `credentials`: each shard has a file with its images' Content Credentials.
    """

    model: str
    digest: str
    seed: int
    truncation: float
    image_format: int
    layout: int
    encoder: str = field(default="", kw_only=True)
    background: str = field(default="", kw_only=True)
    mark: str = field(default="", kw_only=True)
    encryption_key: str = field(default="", kw_only=True)
    originality: str = field(default="", kw_only=True)
    deny: Denied = field(default_factory=dict, kw_only=True)
    recipes: bool = field(default=False, kw_only=True)
    credentials: bool = field(default=False, kw_only=True)

    def is_sound(self) -> bool:
        """Whether these fields, which may have been read, are of their types."""
        texts = (self.model, self.digest, self.encoder, self.background, self.mark, self.encryption_key)
        is_seed = type(self.seed) is int and 0 <= self.seed < 2**64
        has_terms = self.originality in MODES and are_denied(self.deny)
        has_terms = has_terms and type(self.recipes) is bool and type(self.credentials) is bool
        return is_seed and has_terms and is_finite(self.truncation) and all(isinstance(text, str) for text in texts)


@dataclass(frozen=True)
class BatchSpec(Common):
    """A batch, fully resolved. `destination` is a URL; `trace` the W3C context of the call that made it ("": none).

    Image i of the batch is image i of its seed: cells follow one another, and shards are cut without regard to them.
    """

    cells: tuple[Cell, ...]
    destination: str
    shard_size: int
    owner: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    trace: str = ""

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(cell.count for cell in self.cells))

    @property
    def total(self) -> int:
        """Number of images."""
        return self._ends[-1] if self.cells else 0

    @property
    def shard_count(self) -> int:
        return -(-self.total // self.shard_size)

    def shard_range(self, shard: int) -> range:
        """Indexes of a shard's images. Raises IndexError for a shard that there is not."""
        if not 0 <= shard < self.shard_count:
            raise IndexError(f"shard {shard} of {self.shard_count}")
        first = shard * self.shard_size
        return range(first, min(first + self.shard_size, self.total))

    def shard_cells(self, shard: int) -> tuple[Cell, ...]:
        """The cells of a shard, with as many images of each as fall into it."""
        images = self.shard_range(shard)
        cells, at = [], images.start
        for position in range(bisect_right(self._ends, images.start), len(self.cells)):
            end = min(self._ends[position], images.stop)
            cell, start = self.cells[position], self._ends[position] - self.cells[position].count
            cells.append(replace(cell, count=end - at, first=cell.first + at - start if cell.sequence else 0))
            at = end
            if at == images.stop:
                break
        return tuple(cells)

    def shard_job(self, batch: str, shard: int) -> ShardJob:
        return ShardJob(
            batch=batch,
            shard=shard,
            first=self.shard_range(shard).start,
            cells=self.shard_cells(shard),
            destination=self.destination,
            fingerprint=self.fingerprint,
            **{name: getattr(self, name) for name in Common.__dataclass_fields__},
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that the files' bytes and names follow from: the same for batches that write the same.

        Encryption is not in it: decrypted, the files are those of the batch without. `EncryptedStorage` sees to it that
        one folder has one key. Nor are credentials: they are apart from the images, and differ each time.
        """
        head = self._head().items()
        # Without what came later and is not used: as it was before there were such fields.
        written = {name: of for name, of in head if name not in _NOT_WRITTEN and (of or name not in _LATER)}
        content = json.dumps([written, _to_lists(self.cells)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def _head(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "cells"}

    def to_json(self) -> tuple[str, str]:
        """Two texts: what is asked for often, and the cells, which may be many."""
        return json.dumps(self._head() | {"labels": dict(self.labels)}), json.dumps(_to_lists(self.cells))

    @classmethod
    def from_json(cls, head: str | bytes, cells: str | bytes) -> BatchSpec:
        """The inverse of `to_json`; fields of later releases are passed over. Raises ValueError for anything else."""
        try:
            found = parse_json(head)
            known = {name: found[name] for name in cls.__dataclass_fields__ if name in found and name != "cells"}
            spec = cls(cells=_from_lists(parse_json(cells)), **known)
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a batch: {error}") from error
        texts = (spec.destination, spec.owner, spec.request_id, spec.trace)
        whole = (spec.image_format, spec.layout, spec.shard_size, *(cell.count for cell in spec.cells))
        is_whole = all(type(number) is int and 0 <= number < 2**32 for number in whole) and spec.shard_size > 0
        has_labels = isinstance(spec.labels, dict) and all(isinstance(text, str) for text in spec.labels.values())
        if not (is_whole and has_labels and spec.is_sound() and all(isinstance(text, str) for text in texts)):
            raise ValueError("not a batch: a field is not of its type")
        return spec


_SHOWN: Final = 200  # characters of what is no shard, in messages
# Came after the first release.
_LATER: Final = ("encoder", "background", "mark", "encryption_key", "originality", "deny", "recipes", "credentials")
_NOT_WRITTEN: Final = frozenset(
    {"destination", "owner", "labels", "request_id", "encryption_key", "credentials", "trace"}
)


@dataclass(frozen=True)
class ShardJob(Common):
    """Payload of the job that draws a shard. `first` is the index of its first image."""

    batch: str
    shard: int
    first: int
    cells: tuple[Cell, ...]
    destination: str
    fingerprint: str

    @property
    def count(self) -> int:
        """Number of images."""
        return sum(cell.count for cell in self.cells)

    @property
    def places(self) -> list[tuple[Cell, int]]:
        """For each image, its cell, and where it is in it."""
        return [(cell, position) for cell in self.cells for position in range(cell.count)]

    def to_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the RQ job: JSON values only."""
        kwargs = {name: getattr(self, name) for name in self.__dataclass_fields__} | {"cells": _to_lists(self.cells)}
        for name in _LATER:  # workers of the first release refuse what they do not know
            if not kwargs[name]:
                del kwargs[name]
        return kwargs

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> ShardJob:
        """Raises ValueError if the payload is not one that this version understands."""
        try:
            known = {name: kwargs[name] for name in cls.__dataclass_fields__ if name in kwargs}
            job = cls(**{**known, "cells": _from_lists(known["cells"])})
        except (TypeError, ValueError, KeyError) as error:
            raise ValueError(f"not a shard of a batch: {error}") from error
        numbers = (job.shard, job.first, job.image_format, job.layout, *(cell.count for cell in job.cells))
        texts = (job.batch, job.destination, job.fingerprint)
        is_whole = all(type(n) is int and 0 <= n < 2**63 for n in numbers)
        if not (is_whole and all(isinstance(t, str) for t in texts) and job.is_sound()):
            raise ValueError(f"not a shard of a batch: {str(kwargs)[:_SHOWN]}")
        return job


def grid_cells(axes: Mapping[str, Sequence[str]], common: Weights, count: int) -> tuple[Cell, ...]:
    """A grid's cells: the cartesian product of the axes' categories, the last axis fastest, `count` images each."""
    return tuple(
        Cell({**common, **{name: {category: 1.0} for name, category in zip(axes, categories, strict=True)}}, count)
        for categories in product(*axes.values())
    )


def _to_lists(cells: Sequence[Cell]) -> list[list[Any]]:
    return [
        [cell.weights, cell.count]
        if cell.sequence is None
        else [cell.weights, cell.count, cell.sequence.to_json(), cell.first]
        for cell in cells
    ]


def _from_lists(cells: Sequence[Sequence[Any]]) -> tuple[Cell, ...]:
    found = tuple(
        Cell(weights, count, *((sequence_from_json(more[0]), more[1]) if more else ()))
        for weights, count, *more in cells
    )
    if not all(are_weights(cell.weights) and type(cell.first) is int and cell.first >= 0 for cell in found):
        raise ValueError("weights must be an object of objects of numbers")
    return found
