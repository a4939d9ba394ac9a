"""A program that reads a Parquet file from stdin with little memory: what takes more ends only this process.

The argument is the number of bytes that reading may take. Exits with 0 when it takes no more.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pyarrow.parquet as pq


def main() -> None:
    """Reads the columns in which a value may be a list, a group of rows at a time."""
    content = sys.stdin.buffer.read()
    _limit_memory(int(sys.argv[1]))
    file = pq.ParquetFile(io.BytesIO(content), pre_buffer=False)
    columns = [file.schema.column(position) for position in range(file.metadata.num_columns)]
    repeated = [column.path for column in columns if column.max_repetition_level]
    for group in range(file.metadata.num_row_groups):
        file.read_row_group(group, columns=repeated, use_threads=False)


def _limit_memory(most: int) -> None:
    if sys.platform != "linux":  # others have no /proc, or no such limit
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + most
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
