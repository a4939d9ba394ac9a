"""A program that reads a Parquet file from stdin with little memory: what takes more ends only this process.

The argument is the number of bytes that reading may take. Exits with 0 when it takes no more.
"""

from __future__ import annotations

import io
import sys

import pyarrow.parquet as pq

from unikat.memory_limit import limit_memory


def main() -> None:
    content = sys.stdin.buffer.read()
    limit_memory(int(sys.argv[1]))
    read_lists(content)


def read_lists(content: bytes) -> None:
    """Reads the columns in which a value may be a list, a group of rows at a time."""
    file = pq.ParquetFile(io.BytesIO(content), pre_buffer=False)
    columns = [file.schema.column(position) for position in range(file.metadata.num_columns)]
    repeated = [column.path for column in columns if column.max_repetition_level]
    for group in range(file.metadata.num_row_groups):
        file.read_row_group(group, columns=repeated, use_threads=False)


if __name__ == "__main__":
    main()
