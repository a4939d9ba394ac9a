"""Parquet files that would fill the memory are refused, and ordinary ones are read."""

from __future__ import annotations

import io
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unikat.batches.parquet import ParquetBomb, open_parquet


def packed(table: pa.Table) -> io.BytesIO:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink


def lists_of(item: object, kind: pa.DataType, length: int) -> pa.Array:
    """Four lists of one repeated item."""
    items = pa.array([item], kind).take(pa.array([0]).take(pa.nulls(4 * length, pa.int64()).fill_null(0)))
    return pa.ListArray.from_arrays(pa.array([length * i for i in range(5)], pa.int32()), items)


@pytest.mark.parametrize(("item", "kind", "length"), [(0, pa.int64(), 5_000_000), ("x", pa.string(), 8_000_000)])
def test_lists_of_a_repeated_value_are_refused_before_they_are_read(
    item: object, kind: pa.DataType, length: int
) -> None:
    """All of them would take 160 MB."""
    bomb = packed(pa.table({"a": lists_of(item, kind, length)}))
    assert len(bomb.getvalue()) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ParquetBomb, match="lists cannot be read within 128 MB"):
        open_parquet(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KB


def test_ordinary_lists_are_read() -> None:
    table = pa.table({"one_hot": [[0, 1, 0], [1, 0, 0]] * 5000, "texts": [["a", "b"], []] * 5000})
    assert open_parquet(packed(table)).read(use_threads=False).equals(table)


def test_a_part_that_claims_other_rows_than_the_file_is_refused() -> None:
    """Found by the fuzzer: 1,756 bytes whose first row group claims 65 billion rows, for which Arrow took 24 GB."""
    damaged = Path(__file__).parents[2] / "fuzz" / "corpus" / "parquet" / "rows-of-a-part"
    with pytest.raises(pa.ArrowInvalid, match="its parts claim 65336702590 rows, and the whole 2"):
        open_parquet(io.BytesIO(damaged.read_bytes()))
