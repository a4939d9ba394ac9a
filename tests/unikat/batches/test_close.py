from __future__ import annotations

import gc
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unikat.batches.conftest import full
from tests.unikat.batches.drawn import (
    BLEND,
    CELLS,
    LAYOUTS,
    RENDERER,
    content_of,
    image_file,
    images_of,
    spec_of,
    storage_of,
    write,
)
from unikat.batches.layout import Place, parse_conditions, part_name
from unikat.batches.manifest import part_bytes
from unikat.batches.shards import DrawnImage, LostShards, close_batch, write_shard
from unikat.batches.spec import BatchSpec, Cell, Common
from unikat.batches.storage import DestinationError
from unikat.batches.verify import pick, verify


def closed(spec: BatchSpec, keep_parts: bool = False) -> dict[str, bytes]:
    """The files of a batch that was written and closed."""
    storage = write(spec)
    assert close_batch(storage, spec, range(spec.shard_count), keep_parts) == storage.url_of("manifest.parquet")
    return content_of(Path(spec.destination.removeprefix("file://")))


def rows_of(data: bytes) -> list[dict[str, Any]]:
    """The rows of a manifest."""
    rows: list[dict[str, Any]] = pq.ParquetFile(io.BytesIO(data)).read().to_pylist()
    return rows


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_manifest_says_of_every_image_what_and_where_it_is(tmp_path: Path, layout: int) -> None:
    spec = spec_of(tmp_path, layout, cells=(*CELLS, BLEND))
    there = closed(spec)
    rows = rows_of(there["manifest.parquet"])
    drawn = [image for shard in range(spec.shard_count) for image in images_of(spec, shard)]
    assert [row["index"] for row in rows] == list(range(23))
    for row, image in zip(rows, drawn, strict=True):
        data = there[row["file"]][row["offset"] : row["offset"] + row["size"]]
        assert data == image.data
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert row["id"] == image.id
        assert parse_conditions(row["conditions"]) == image.weights
    last = {name: value for name, value in rows[-1].items() if name not in ("file", "offset", "size", "sha256", "id")}
    assert last == {
        "index": 22, "seed": 2**64 - 1, "truncation": 0.7, "model": "emoji@1", "model_digest": "d" * 64,
        "media_type": "image/png", "width": 16, "height": 16, "provider": RENDERER.provider,
        "runtime": RENDERER.runtime, "processor": RENDERER.processor,
        "conditions": {"category": "face", "style": "fluent:0.3,noto:0.7"},
    }  # fmt: skip
    metadata = pq.ParquetFile(io.BytesIO(there["manifest.parquet"])).schema_arrow.metadata
    assert metadata == {b"unikat.fingerprint": spec.fingerprint.encode(), b"unikat.format_version": b"1"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("nobody", [0, 1])
def test_refused_images_have_rows_and_no_files(tmp_path: Path, layout: int, nobody: int) -> None:
    """Every third image, and of one shard all: whether the first shard or a later one has the columns first."""
    spec = spec_of(tmp_path, layout)
    storage = storage_of(spec)
    refused = {index for index in range(spec.total) if index % 3 == 2 or index in spec.shard_range(nobody)}
    refused -= set(spec.shard_range(2))  # a shard without
    for shard in range(spec.shard_count):
        images = [
            replace(image, data=b"", refused="CONTENT", detail="says 0.9") if image.index in refused else image
            for image in images_of(spec, shard)
        ]
        write_shard(storage, spec.shard_job("b", shard), images, RENDERER)
    close_batch(storage, spec, range(spec.shard_count), keep_parts=False)
    there = content_of(tmp_path)
    rows = rows_of(there["manifest.parquet"])
    assert {row["index"] for row in rows if row["refused"] == "CONTENT" and row["detail"] == "says 0.9"} == refused
    for row in rows:
        if row["index"] in refused:
            assert (row["file"], row["offset"], row["size"], row["sha256"]) == ("", 0, 0, "")
        else:
            data = there[row["file"]][row["offset"] : row["offset"] + row["size"]]
            assert hashlib.sha256(data).hexdigest() == row["sha256"]
            assert row["refused"] is None
    report = verify(str(tmp_path))
    assert report.is_complete, report.problems
    assert (report.refused_count, report.extra_count) == (len(refused), 0)
    assert {each.index for each in pick(str(tmp_path), spec.total, 1)} == set(range(spec.total)) - refused
    close_batch(storage, spec, range(spec.shard_count), keep_parts=False)  # from the manifest that is there
    assert content_of(tmp_path) == there


def test_a_row_that_was_refused_and_names_a_file_is_wrong(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    closed(spec)
    table = pq.read_table(tmp_path / "manifest.parquet")
    marked = pa.array(["CONTENT" if index == 3 else None for index in range(spec.total)], pa.string())
    pq.write_table(table.append_column("refused", marked), tmp_path / "manifest.parquet")
    report = verify(str(tmp_path))
    assert [(each.kind, each.index) for each in report.problems] == [("row", 3)]


def test_the_manifest_is_read_with_sql(tmp_path: Path) -> None:
    closed(spec_of(tmp_path, cells=(*CELLS, BLEND)))
    with duckdb.connect() as database:
        found = database.execute(
            "select conditions.style, count(*), max(seed), min(file) from read_parquet(?) group by 1 order by 1",
            [str(tmp_path / "manifest.parquet")],
        ).fetchall()
    assert found == [
        ("fluent", 10, 2**64 - 1, "images/00001/0000010.png"),
        ("fluent:0.3,noto:0.7", 3, 2**64 - 1, "images/00002/0000020.png"),
        ("noto", 10, 2**64 - 1, "images/00000/0000000.png"),
    ]


def test_a_model_without_attributes_has_no_conditions(tmp_path: Path) -> None:
    there = closed(spec_of(tmp_path, cells=(Cell({}, 9),)))
    rows = rows_of(there["manifest.parquet"])
    assert len(rows) == 9
    assert "conditions" not in rows[0]


def test_the_claim_says_in_the_end_how_many_images_there_were_to_be(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, cells=(*CELLS, BLEND))
    claim = json.loads(closed(spec)["batch.json"])
    assert (claim["total"], claim["shard_size"], claim["fingerprint"]) == (23, 8, spec.fingerprint)
    assert claim["cells"][-1] == {"conditions": {"category": "face", "style": "fluent:0.3,noto:0.7"}, "count": 3}
    assert {"owner", "labels", "destination", "request_id"} & set(claim) == set()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_batch_has_the_same_bytes_wherever_and_however_often_it_is_closed(tmp_path: Path, layout: int) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = closed(spec_of(tmp_path / "one", layout), keep_parts=True)
    assert len([name for name in one if name.startswith(".unikat/")]) == 3
    spec = spec_of(tmp_path / "two", layout)
    two = closed(spec)
    assert two == {name: data for name, data in one.items() if not name.startswith(".unikat/")}
    close_batch(storage_of(spec), spec, range(3), False)  # its parts are gone
    assert content_of(tmp_path / "two") == two


def crash(folder: Path, spec: BatchSpec, at: str) -> None:
    """Leave a folder as a process does that dies while it closes the batch for the first time, at different points."""
    before = content_of(folder)
    close_batch(storage_of(spec), spec, range(3), False)
    if at == "first part removed":
        for name in (".unikat/00001.parquet", ".unikat/00002.parquet"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(before[name])
        return
    for name in (".unikat/00000.parquet", ".unikat/00001.parquet", ".unikat/00002.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(before[name])
    if at in ("before sheet", "before manifest"):
        (folder / "contact-sheet.png").unlink()
        (folder / "batch.json").write_bytes(before["batch.json"])
    if at == "before manifest":
        (folder / "manifest.parquet").unlink()
        (folder / ".manifest.parquet.0123abcd.tmp").write_bytes(b"half")


@pytest.mark.parametrize("at", ["before manifest", "before sheet", "before removal", "first part removed"])
def test_a_crash_while_closing_changes_nothing(tmp_path: Path, at: str) -> None:
    spec = spec_of(tmp_path)
    there = closed(spec)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    write(spec)
    crash(tmp_path, spec, at)
    close_batch(storage_of(spec), spec, range(3), False)
    assert content_of(tmp_path) == there
    assert not (tmp_path / ".unikat").exists()


def test_a_batch_that_failed_is_finished_by_a_retry(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    at_once = closed(spec_of(tmp_path / "once"))
    spec = spec_of(tmp_path / "twice")
    storage = write(spec, [0, 2])
    close_batch(storage, spec, [2, 0], True)
    rows = rows_of((tmp_path / "twice" / "manifest.parquet").read_bytes())
    assert [row["index"] for row in rows] == [*range(8), *range(16, 20)]
    write(spec, [1])
    close_batch(storage, spec, range(3), False)
    assert content_of(tmp_path / "twice") == at_once


def test_no_shards_leave_no_manifest(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    (tmp_path / ".manifest.parquet.0123abcd.tmp").write_bytes(b"half")
    assert close_batch(storage_of(spec), spec, [], False) == ""
    assert content_of(tmp_path) == {}
    tmp_path.rmdir()
    assert close_batch(storage_of(spec), spec, [], False) == ""


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"nonsense")])
def test_shards_whose_rows_are_lost_are_named_and_nothing_is_written(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    spec = spec_of(tmp_path)
    storage = write(spec)
    spoil(tmp_path / ".unikat" / "00001.parquet")
    with pytest.raises(LostShards, match="1 shards that were written: 1") as lost:
        close_batch(storage, spec, range(3), False)
    assert lost.value.shards == (1,)
    assert not {"manifest.parquet", "contact-sheet.png"} & set(content_of(tmp_path))
    write(spec, [1])
    close_batch(storage, spec, range(3), False)
    assert len(rows_of((tmp_path / "manifest.parquet").read_bytes())) == 20


def test_rows_of_another_shard_in_its_place_count_as_lost(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    storage = write(spec)
    shutil.copy(tmp_path / ".unikat" / "00000.parquet", tmp_path / ".unikat" / "00001.parquet")
    with pytest.raises(LostShards):
        close_batch(storage, spec, range(3), False)


def test_what_killed_workers_left_is_removed(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    storage = write(spec)
    left = ("", ".unikat/", "images/00001/")
    for folder in left:
        (tmp_path / f"{folder}.x.0123abcd.tmp").write_bytes(b"half")
    (tmp_path / "images" / "00001" / ".mine").write_bytes(b"of the user")
    close_batch(storage, spec, range(3), False)
    names = [name for name in content_of(tmp_path) if "/." in f"/{name}"]
    assert names == ["images/00001/.mine"]


def test_a_batch_whose_folder_is_gone_cannot_be_closed(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    storage = write(spec)
    shutil.rmtree(tmp_path)
    with pytest.raises(DestinationError, match="is not there"):
        close_batch(storage, spec, range(3), False)
    tmp_path.mkdir()
    with pytest.raises(DestinationError, match=r"batch\.json is gone"):
        close_batch(storage, spec, range(3), False)


def test_a_disk_that_is_full_when_the_batch_is_closed_is_a_reason(small_disk: Path) -> None:
    spec = spec_of(small_disk)
    storage = write(spec)
    with full(small_disk), pytest.raises(DestinationError, match=r"No space left on device|File too large"):
        close_batch(storage, spec, range(3), False)
    assert not (small_disk / "manifest.parquet").exists()
    assert not list(small_disk.glob(".*.tmp"))
    close_batch(storage, spec, range(3), False)
    assert verify(str(small_disk)).is_complete


def test_many_rows_make_the_same_manifest_from_parts_or_from_the_manifest_before(tmp_path: Path) -> None:
    spec = BatchSpec(**{**vars(spec_of(tmp_path, cells=(Cell(BLEND.weights, 70_000),))), "shard_size": 4096})
    common = Common(spec.model, spec.digest, spec.seed, spec.truncation, spec.image_format, spec.layout)
    storage, data = write(spec_of(tmp_path), [0]), image_file(0)
    storage.write("batch.json", json.dumps({"fingerprint": spec.fingerprint}).encode())
    for shard in range(spec.shard_count):
        images = [DrawnImage(index, f"{index:016x}", BLEND.weights, data) for index in spec.shard_range(shard)]
        places = [Place(f"images/{shard:05}/{image.index:07}.png", 0) for image in images]
        storage.write(part_name(shard), part_bytes(common, images, places, RENDERER))
    close_batch(storage, spec, range(spec.shard_count), True)
    merged = storage.read("manifest.parquet")
    metadata = pq.ParquetFile(io.BytesIO(merged)).metadata
    assert [metadata.row_group(group).num_rows for group in range(2)] == [65_536, 70_000 - 65_536]
    for gone in (range(0, spec.shard_count, 2), range(spec.shard_count)):
        storage.remove([part_name(shard) for shard in gone])
        close_batch(storage, spec, range(spec.shard_count), True)
        assert storage.read("manifest.parquet") == merged


def test_what_was_read_of_parts_is_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    def held() -> int:  # each is some 20 kB outside of what Python counts, so the collector of a worker comes late
        return sum(type(each) is pq.FileMetaData for each in gc.get_objects())

    spec = spec_of(tmp_path)
    gc.collect()
    before = held()
    gc.disable()
    try:
        closed(spec)
        assert held() == before
    finally:
        gc.enable()
