"""Parquet files that others may have written: how much they hold is known before it is read.

A few kilobytes can stand for gigabytes: numbers that repeat are counted, and texts that repeat are stored once.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unikat.batches import parquet_process

_FREE_CELLS: Final = 2**18
_CELLS_A_BYTE: Final = 16  # of the file; a manifest of ours has one, its constant columns included
_FREE_CLAIM: Final = 2**26
_CLAIM_A_BYTE: Final = 8  # of the file: what is packed tighter than that says little
_FREE_BYTES: Final = 2**24
_TEXT_A_BYTE: Final = 256  # of the file; of a manifest of ours some 30
_LIST_BYTES: Final = 2**27
_LIST_A_BYTE: Final = 32  # of the file
_SECONDS: Final = 60.0


class ParquetBomb(pa.ArrowInvalid):  # type: ignore[misc]  # pyarrow has no types
    """The file would take far more memory than it has bytes."""


def open_parquet(source: BinaryIO | pa.BufferReader) -> pq.ParquetFile:
    """To be read with `use_threads=False`. Raises pyarrow.ArrowException.

    Nothing is fetched ahead: Arrow's threads would still hold the Python file when the interpreter ends, and now and
    then abort it (apache/arrow#34314, #50482).
    """
    try:
        file = pq.ParquetFile(source, pre_buffer=False)
        source.seek(0, io.SEEK_END)
        size = source.tell()
        _check_cells(file, size)
        _check_lists(file, source, size)
        _check_texts(file, source, size)
    except (KeyError, UnicodeDecodeError) as error:  # names of columns that contradict one another
        raise pa.ArrowInvalid(f"its columns are damaged: {error}") from error
    return file


def most_claimed(size: int) -> int:
    """Bytes that the columns of a file of `size` bytes may say they take unpacked."""
    return _FREE_CLAIM + _CLAIM_A_BYTE * size


def _check_cells(file: pq.ParquetFile, size: int) -> None:
    # Not by `metadata.row_group(i).column(j)`, in which a damaged file ends the process (pyarrow 26).
    cells = file.metadata.num_rows * max(1, file.metadata.num_columns)
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
    rows = [group.num_rows for group in groups]
    if min(rows, default=0) < 0 or sum(rows) != file.metadata.num_rows:  # Arrow reserves what a group claims
        raise pa.ArrowInvalid(f"its parts claim {sum(rows)} rows, and the whole {file.metadata.num_rows}")
    claimed = sum(group.total_byte_size for group in groups)
    if claimed > most_claimed(size):
        raise ParquetBomb(f"its columns take {claimed} bytes unpacked, of {size}")
    if cells > _FREE_CELLS + _CELLS_A_BYTE * size:
        raise ParquetBomb(f"it holds {cells} cells in {size} bytes, as no table does that says something")


def _check_lists(file: pq.ParquetFile, source: BinaryIO | pa.BufferReader, size: int) -> None:
    """How long lists are is known only by reading them, so a process with limits does so first. Manifests have none."""
    if not any(column.max_repetition_level for column in _columns(file)):
        return
    source.seek(0)
    _read_lists_apart(source.read(), _LIST_BYTES + _LIST_A_BYTE * size)


def _read_lists_apart(content: bytes, most: int) -> None:
    """In a process that may take `most` bytes. Raises ParquetBomb."""
    # The pool of the system: Arrow's own reserves far more addresses than it uses.
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-P", parquet_process.__file__, str(most)]
    try:
        done = subprocess.run(
            command, input=content, env=environment, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ParquetBomb(f"its lists take more than {_SECONDS:.0f} s to read") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ParquetBomb(f"its lists cannot be read within {most >> 20} MB, in a file of {len(content)} bytes: {said}")


def _check_texts(file: pq.ParquetFile, source: BinaryIO | pa.BufferReader, size: int) -> None:
    """Texts are read as numbers into a list of different ones, of which the lengths are added up."""
    texts = _text_columns(file)
    if not texts:
        return
    source.seek(0)
    packed = pq.ParquetFile(source, pre_buffer=False, read_dictionary=texts)
    total = 0
    for group in range(packed.metadata.num_row_groups):
        for name in texts:
            column = packed.read_row_group(group, columns=[name], use_threads=False)
            total += sum(_text_bytes(chunk) for each in column.columns for chunk in each.chunks)
            if total > _FREE_BYTES + _TEXT_A_BYTE * size:
                raise ParquetBomb(f"its texts are more than {total} bytes in a file of {size}")


def _text_columns(file: pq.ParquetFile) -> list[str]:
    return [column.path for column in _columns(file) if column.physical_type == "BYTE_ARRAY"]


def _columns(file: pq.ParquetFile) -> list[pq.ColumnSchema]:
    """Not of `file.schema`: the metadata would keep that and it the metadata, until the garbage collector comes.

    They are 20 kB for each part of a batch that no counter of Python's sees, so it comes late.
    """
    schema = pq.ParquetSchema(file.metadata)
    return [schema.column(position) for position in range(file.metadata.num_columns)]


def _text_bytes(array: pa.Array) -> int:
    """Bytes of an array's texts when each stands for itself."""
    while pa.types.is_struct(array.type) or pa.types.is_list(array.type):
        array = array.field(0) if pa.types.is_struct(array.type) else array.values
    if not pa.types.is_dictionary(array.type):
        array.validate(full=True)
        return int(array.nbytes)
    array.dictionary.validate(full=True)  # texts are Unicode, or there is an error before anybody makes them Python's
    lengths = pc.binary_length(array.dictionary).take(array.indices)
    return int(pc.sum(lengths.cast(pa.int64())).as_py() or 0)
