"""Pictures inside Parquet files, as Hugging Face's data sets have them: a column of {"bytes": …, "path": …}."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq


def picture_column(source: Path | IO[bytes]) -> str:
    """The first column that holds pictures; "" where there is none, or the file is no Parquet file."""
    try:
        schema = pq.read_schema(source)
    except (pa.ArrowException, OSError):
        return ""
    return next((field.name for field in schema if _holds_bytes(field.type)), "")


def picture_names(name: str, rows: int) -> Iterator[str]:
    """What the pictures in the Parquet file `name` are called, in the order of its rows."""
    return (f"{name.removesuffix('.parquet')}/{row:07}.png" for row in range(rows))


def rows_and_bytes(path: Path) -> tuple[int, int]:
    """The number of a file's rows, and the bytes that its footer says they take unpacked."""
    metadata = pq.read_metadata(path)
    return metadata.num_rows, sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))


def picture_bytes(path: Path, column: str, row: int) -> bytes:
    """The picture in a row. Raises ValueError where there is none."""
    starts = _starts(path)
    group = max(index for index, start in enumerate(starts) if start <= row)
    value = _group(path, column, group)[row - starts[group]].as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise ValueError("there is no picture in this row")
    return content


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Column -> names of its numbers, where the package datasets wrote them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: of["names"] for name, of in features.items() if of.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def plain_columns(schema: pa.Schema) -> list[str]:
    """The columns without pictures."""
    return [field.name for field in schema if not _holds_bytes(field.type)]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_holds_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@functools.lru_cache(maxsize=64)
def _starts(path: Path) -> list[int]:
    """The first row of each group of rows."""
    metadata, starts = pq.read_metadata(path), [0]
    for group in range(metadata.num_row_groups - 1):
        starts.append(starts[-1] + metadata.row_group(group).num_rows)
    return starts


@functools.lru_cache(maxsize=2)
def _group(path: Path, column: str, group: int) -> pa.ChunkedArray:
    # Pictures are read in order: one group at a time is in memory, and in it a picture that occurs twice once.
    schema = pq.ParquetFile(path, pre_buffer=False).schema
    names = [schema.column(position).path for position in range(len(schema))]
    inside = [name for name in names if name == column or name.startswith(f"{column}.")]
    file = pq.ParquetFile(path, pre_buffer=False, read_dictionary=inside)
    return file.read_row_group(group, columns=[column], use_threads=False)[column]
