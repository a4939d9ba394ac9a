"""A batch's manifest: a row for every image, as Parquet. Shards write their rows as parts, which are merged at the end.

Nothing in it is of the moment: the same images give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from io import BytesIO
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from unikat.artwork import Renderer
from unikat.batches.layout import MANIFEST, MEDIA_TYPES, RECIPE, DrawnImage, Place, conditions_text, part_name
from unikat.batches.parquet import open_parquet
from unikat.batches.spec import BatchSpec, Common
from unikat.batches.storage import DamagedFile, Storage

FORMAT_VERSION: Final = 1
FINGERPRINT: Final = b"unikat.fingerprint"
VERSION: Final = b"unikat.format_version"
REFUSED: Final = "refused"  # column, in manifests with such images: why one has no file; empty for those that have
DETAIL: Final = "detail"  # column beside it: what was measured
ROWS_IN_GROUP: Final = 65_536
_PARTS_AT_ONCE: Final = 64
_COMPRESSIBLE: Final = (
    "file", "seed", "truncation", "model", "model_digest", "media_type", "width", "height", "provider", "runtime",
    "processor", REFUSED,
)  # fmt: skip


class LostShards(Exception):
    """Shards that count as written have no rows: somebody removed them. Drawing them again brings them back."""

    def __init__(self, shards: Sequence[int]) -> None:
        shown = ", ".join(map(str, shards[:10])) + (", ..." if len(shards) > 10 else "")
        super().__init__(f"nothing is known of {len(shards)} shards that were written: {shown}")
        self.shards = tuple(shards)


def part_bytes(common: Common, images: Sequence[DrawnImage], places: Sequence[Place], renderer: Renderer) -> bytes:
    """A shard's rows as a Parquet file. Raises PIL.UnidentifiedImageError for bytes that are no image."""
    sink = pa.BufferOutputStream()
    pq.write_table(_table(common, images, places, renderer), sink, compression="none", write_statistics=False)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _table(common: Common, images: Sequence[DrawnImage], places: Sequence[Place], renderer: Renderer) -> pa.Table:
    delivered = next((image for image in images if not image.refused), None)
    # A model's images have one size.
    width, height = (0, 0) if delivered is None else Image.open(BytesIO(delivered.data)).size
    hashes = ["" if image.refused else hashlib.sha256(image.data).hexdigest() for image in images]
    columns: dict[str, Any] = {
        "id": pa.array([image.id for image in images], pa.string()),
        "index": pa.array([image.index for image in images], pa.uint32()),
        "file": pa.array([place.file for place in places], pa.string()),
        "offset": pa.array([place.offset for place in places], pa.int64()),
        "size": pa.array([len(image.data) for image in images], pa.int64()),
        "sha256": pa.array(hashes, pa.string()),
    }
    same: dict[str, pa.Scalar] = {
        "seed": pa.scalar(common.seed, pa.uint64()),
        "truncation": pa.scalar(common.truncation, pa.float64()),
        "model": pa.scalar(common.model),
        "model_digest": pa.scalar(common.digest),
        "media_type": pa.scalar(MEDIA_TYPES[common.image_format]),
        "width": pa.scalar(width, pa.uint32()),
        "height": pa.scalar(height, pa.uint32()),
        "provider": pa.scalar(renderer.provider),
        "runtime": pa.scalar(renderer.runtime),
        "processor": pa.scalar(renderer.processor),
        **({"encoder": pa.scalar(common.encoder)} if common.encoder else {}),
        **({"background": pa.scalar(common.background)} if common.background else {}),
        **({"mark": pa.scalar(common.mark)} if common.mark else {}),
    }
    columns |= {name: pa.repeat(value, len(images)) for name, value in same.items()}
    if images[0].weights:  # Parquet has no struct without fields
        texts = [conditions_text(image.weights) for image in images]
        fields = [pa.array([text[name] for text in texts], pa.string()) for name in texts[0]]
        columns["conditions"] = pa.StructArray.from_arrays(fields, names=list(texts[0]))
    if common.recipes:
        columns[RECIPE] = pa.array([image.recipe or None for image in images], pa.string())
    if common.originality:
        columns |= _measured(images)
    if any(image.refused for image in images):  # a shard without has the rows that it always had
        columns[REFUSED] = pa.array([image.refused or None for image in images], pa.string())
        columns[DETAIL] = pa.array([image.detail or None for image in images], pa.string())
    return pa.table(columns)


def _measured(images: Sequence[DrawnImage]) -> dict[str, pa.Array]:
    return {
        "attempt": pa.array([image.measured.attempt for image in images], pa.uint8()),
        "distance": pa.array([image.measured.distance for image in images], pa.float32()),
        "percentile": pa.array([image.measured.percentile for image in images], pa.float32()),
    }


def merge_parts(
    storage: Storage, spec: BatchSpec, shards: Sequence[int], seen: Callable[[range, pa.Table], None]
) -> None:
    """Write the manifest of these shards; `seen` is shown the indexes and the rows of each.

    A shard without a part is looked for in the manifest that is there: whoever merged before may have removed it.
    Where an image was refused, all rows have columns for that. Raises LostShards.
    """
    try:
        _merge(storage, spec, shards, seen)
    except _SomeRefused:  # only now it is known: begun once more
        _merge(storage, spec, shards, seen, with_refused=True)


class _SomeRefused(Exception):
    """A shard has columns that the rows before it have not."""


def _merge(
    storage: Storage,
    spec: BatchSpec,
    shards: Sequence[int],
    seen: Callable[[range, pa.Table], None],
    with_refused: bool = False,
) -> None:
    lost: list[int] = []
    with ExitStack() as stack:
        writer: _Writer | None = None
        earlier = _Earlier(storage, spec.fingerprint, stack)
        target = stack.enter_context(storage.writing(MANIFEST))
        for start in range(0, len(shards), _PARTS_AT_ONCE):
            some = shards[start : start + _PARTS_AT_ONCE]
            parts = _read_parts(storage, [part_name(shard) for shard in some])
            for shard, part in zip(some, parts, strict=True):
                indexes = spec.shard_range(shard)
                table = _part_rows(part, indexes)
                table = earlier.rows(indexes) if table is None else table
                if table is None:
                    lost.append(shard)
                    continue
                table = _with_refused(table) if with_refused else _without_refused(table)
                seen(indexes, table)
                writer = writer or stack.enter_context(_Writer(target, table.schema, spec.fingerprint))
                writer.add(table)
        if lost:
            raise LostShards(lost)


def _with_refused(table: pa.Table) -> pa.Table:
    missing = [name for name in (REFUSED, DETAIL) if name not in table.column_names]
    for name in missing:
        table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table


def _without_refused(table: pa.Table) -> pa.Table:
    """Raises _SomeRefused. The manifest before may have the columns, and these shards nothing in them."""
    if REFUSED not in table.column_names:
        return table
    if table.column(REFUSED).null_count < table.num_rows:
        raise _SomeRefused
    return table.drop_columns([REFUSED, DETAIL])


class _Writer:
    """Rows to groups of always the same size, whatever the sizes in which they come."""

    def __init__(self, target: BinaryIO, schema: pa.Schema, fingerprint: str) -> None:
        self._schema = schema.with_metadata({VERSION: str(FORMAT_VERSION).encode(), FINGERPRINT: fingerprint.encode()})
        attributes = [field.name for field in schema.field("conditions").type] if "conditions" in schema.names else []
        self._file = pq.ParquetWriter(
            target,
            self._schema,
            compression="zstd",
            use_dictionary=[*_COMPRESSIBLE, *(f"conditions.{name}" for name in attributes)],
            write_statistics=["index"],
        )
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table.replace_schema_metadata(self._schema.metadata))
        self._rows += table.num_rows
        if self._rows >= ROWS_IN_GROUP:
            self._write(ROWS_IN_GROUP)

    def _write(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        # In one piece: where pages are cut depends on the pieces that rows came in.
        self._file.write_table(table.slice(0, rows).combine_chunks(), row_group_size=ROWS_IN_GROUP)
        rest = table.slice(rows)
        self._waiting, self._rows = [rest], rest.num_rows

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None and self._rows:
            self._write(self._rows)
        self._file.close()


class _Earlier:
    """The manifest that is there already, if it is of the same batch; opened when first asked."""

    def __init__(self, storage: Storage, fingerprint: str, stack: ExitStack) -> None:
        self._storage = storage
        self._fingerprint = fingerprint.encode()
        self._stack = stack
        self._group: tuple[int, pa.Table] | None = None

    @cached_property
    def _file(self) -> pq.ParquetFile | None:
        with suppress(FileNotFoundError, DamagedFile, pa.ArrowException):
            file = open_parquet(self._stack.enter_context(self._storage.reading(MANIFEST)))
            if (file.schema_arrow.metadata or {}).get(FINGERPRINT) == self._fingerprint:
                return file
        return None

    @cached_property
    def _bounds(self) -> list[tuple[int, int]]:
        """First and last index of each group of rows."""
        # By rows and not by statistics: asked for those, pyarrow 26 ends the process if the file is damaged.
        assert self._file is not None
        file, groups = self._file, range(self._file.metadata.num_row_groups)
        found = [file.read_row_group(group, columns=["index"], use_threads=False).column(0) for group in groups]
        # An empty group keeps its number, and has no index.
        return [(column[0].as_py(), column[-1].as_py()) if len(column) else (0, -1) for column in found]

    def rows(self, indexes: range) -> pa.Table | None:
        """The rows of these indexes, None unless all are there."""
        if self._file is None:
            return None
        found = []
        for group, (first, last) in enumerate(self._bounds):
            if first < indexes.stop and last >= indexes.start:
                table = self._read(group)
                at = np.searchsorted(table.column("index").to_numpy(), [indexes.start, indexes.stop])
                found.append(table.slice(at[0], at[1] - at[0]))
        return _checked(pa.concat_tables(found), indexes) if found else None

    def _read(self, group: int) -> pa.Table:
        if self._group is None or self._group[0] != group:
            assert self._file is not None
            self._group = group, self._file.read_row_group(group, use_threads=False)
        return self._group[1]


def _read_parts(storage: Storage, names: Sequence[str]) -> list[bytes | None]:
    """Parts; None for one that is not there, or was not encrypted with the batch's key, and is as good as none."""
    with suppress(DamagedFile):
        return storage.read_many(names)
    parts: list[bytes | None] = []
    for name in names:
        try:
            parts += storage.read_many([name])
        except DamagedFile:
            parts.append(None)
    return parts


def _part_rows(part: bytes | None, indexes: range) -> pa.Table | None:
    if part is None:
        return None
    try:
        return _checked(open_parquet(pa.BufferReader(part)).read(use_threads=False), indexes)
    except pa.ArrowException:  # as good as none
        return None


def _checked(table: pa.Table, indexes: range) -> pa.Table | None:
    there = table.column("index").to_numpy()
    return table if np.array_equal(there, np.arange(indexes.start, indexes.stop)) else None
