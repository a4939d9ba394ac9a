from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unikat.batches.drawn import BLEND, CELLS, LAYOUTS, images_of, spec_of, write
from unikat.batches import layout
from unikat.batches.shards import close_batch
from unikat.batches.spec import Cell
from unikat.batches.verify import NotABatch, Report, pick, verify
from unikat.v1.batches_pb2 import LAYOUT_FILES, LAYOUT_WEBDATASET


@pytest.fixture(params=LAYOUTS, ids=["files", "webdataset"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A complete batch of 23 images."""
    spec = spec_of(tmp_path, request.param, cells=(*CELLS, BLEND))
    close_batch(write(spec), spec, range(spec.shard_count), False)
    return tmp_path


def kinds(report: Report) -> list[tuple[str, int | None]]:
    """What is wrong, and with which images."""
    return [(problem.kind, problem.index) for problem in report.problems]


def test_a_complete_batch_is_complete(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = verify(str(folder), lambda checked, rows: seen.append((checked, rows)))
    assert report.is_complete
    assert (report.total, report.rows, report.checked, report.missing_count) == (23, 23, 23, 0)
    assert (report.problems, report.extra) == ([], [])
    assert seen[-1] == (23, 23)
    images = sum(
        len(image.data) for shard in range(3) for image in images_of(spec_of(folder, cells=(*CELLS, BLEND)), shard)
    )
    assert report.bytes_read >= images


def test_no_thread_of_arrow_is_left_that_could_abort_the_interpreter_at_its_end(folder: Path) -> None:
    program = (
        "import os, sys, unikat.batches.verify as v\n"
        "threads = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = threads()\n"
        "assert v.verify(sys.argv[1]).is_complete and v.pick(sys.argv[1], 3, 0)\n"
        "print(threads() - before)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"


def test_a_folder_may_be_given_as_path_or_url(folder: Path) -> None:
    for where in (f"file://{folder}", os.path.relpath(folder), f"{folder}/"):
        assert verify(where).is_complete
    for where in ("relative::odd", "s3://", ""):
        with pytest.raises((ValueError, NotABatch)):
            verify(where)


def damage(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change a file."""
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def flip(position: int) -> Callable[[bytearray], None]:
    """Flip a bit."""

    def change(data: bytearray) -> None:
        data[position] ^= 1

    return change


def test_every_single_flipped_bit_of_a_tar_file_is_found(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LAYOUT_WEBDATASET)
    close_batch(write(spec), spec, range(3), False)
    path = tmp_path / "shards" / "00002.tar"
    size = path.stat().st_size
    for position in [*range(0, size, 97), size - 1]:
        damage(path, flip(position))
        report = verify(str(tmp_path))
        assert not report.is_intact, position
        assert {problem.file for problem in report.problems} == {"shards/00002.tar"}
        damage(path, flip(position))
    assert verify(str(tmp_path)).is_complete


def test_a_flipped_bit_of_an_image_is_found(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LAYOUT_FILES)
    close_batch(write(spec), spec, range(3), False)
    damage(tmp_path / "images" / "00001" / "0000009.png", flip(-5))
    report = verify(str(tmp_path))
    assert kinds(report) == [("differs", 9)]
    assert not report.is_complete
    assert report.missing_count == 0


def test_files_that_are_gone_cut_or_too_long_are_found(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LAYOUT_FILES)
    close_batch(write(spec), spec, range(3), False)
    images = tmp_path / "images"
    (images / "00000" / "0000003.png").unlink()
    damage(images / "00001" / "0000009.png", lambda data: data.__delitem__(slice(-1, None)))
    damage(images / "00002" / "0000019.png", lambda data: data.append(0))
    (tmp_path / "contact-sheet.png").unlink()
    report = verify(str(tmp_path))
    assert kinds(report) == [("missing", None), ("missing", 3), ("truncated", 9), ("differs", 19)]


def test_tar_files_that_are_gone_cut_or_too_long_are_found(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LAYOUT_WEBDATASET)
    close_batch(write(spec), spec, range(3), False)
    shards = tmp_path / "shards"
    (shards / "00000.tar").unlink()
    whole = (shards / "00001.tar").stat().st_size
    damage(shards / "00001.tar", lambda data: data.__delitem__(slice(whole - 1024 - 100, None)))
    damage(shards / "00002.tar", lambda data: data.append(0))
    report = verify(str(tmp_path))
    assert kinds(report) == [("missing", None), ("truncated", 15), ("truncated", None), ("differs", None)]
    assert report.problems[0].message == "the file is missing, with 8 images"


def test_a_tar_file_that_is_missing_is_one_problem_however_many_images_it_had(tmp_path: Path) -> None:
    spec = replace(spec_of(tmp_path, LAYOUT_WEBDATASET, cells=(Cell({}, 1301),)), shard_size=1300)
    close_batch(write(spec), spec, range(2), False)
    for shard in ("00000", "00001"):
        (tmp_path / "shards" / f"{shard}.tar").unlink()
    report = verify(str(tmp_path))
    assert [(problem.file, problem.message) for problem in report.problems] == [
        ("shards/00000.tar", "the file is missing, with 1,300 images"),
        ("shards/00001.tar", "the file is missing, with 1 image"),
    ]
    assert (report.problem_count, report.checked) == (2, 1301)


def test_a_failed_or_cancelled_batch_is_incomplete_and_not_damaged(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, cells=(*CELLS, BLEND))
    close_batch(write(spec, [1]), spec, [1], True)
    report = verify(str(tmp_path))
    assert report.is_intact
    assert not report.is_complete
    assert report.missing == [range(8), range(16, 23)]
    assert (report.total, report.rows, report.missing_count, report.extra) == (23, 8, 15, [])


def test_files_that_nobody_knows_are_named(folder: Path) -> None:
    inner = next(path for path in (folder / "images", folder / "shards") if path.exists())
    (inner / "99999.tar").write_bytes(b"")
    (folder / "notes.txt").write_bytes(b"mine")
    deepest = next(path for path in sorted(inner.rglob("*")) if path.is_file()).parent
    (deepest / "more.png").write_bytes(b"")
    report = verify(str(folder))
    assert report.is_complete
    expected = {"notes.txt", f"{inner.name}/99999.tar", str((deepest / "more.png").relative_to(folder))}
    assert set(report.extra) == expected
    assert report.extra_count == 3


def rewrite(folder: Path, change: Callable[[list[dict[str, object]]], object]) -> None:
    """Change the rows of a manifest."""
    table = pq.ParquetFile(folder / "manifest.parquet").read()
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "manifest.parquet")


def test_an_index_that_is_there_twice_is_found(folder: Path) -> None:
    rewrite(folder, lambda rows: rows.insert(5, dict(rows[4])))
    assert ("duplicate", 4) in kinds(verify(str(folder)))


def test_a_row_that_is_gone_leaves_an_index_missing(folder: Path) -> None:
    rewrite(folder, lambda rows: rows.pop(7))
    report = verify(str(folder))
    assert report.missing == [range(7, 8)]
    assert not report.is_complete


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("file", "../../etc/passwd"),
        ("file", "/etc/passwd"),
        ("media_type", "text/html"),
        ("seed", 3),
        ("model_digest", "e" * 64),
        ("truncation", 0.5),
        ("size", 10**18),
        ("offset", -1),
        ("sha256", None),
    ],
)
def test_a_row_that_no_batch_writes_is_found(folder: Path, column: str, value: object) -> None:
    rewrite(folder, lambda rows: rows[3].__setitem__(column, value))
    assert ("row", 3) in kinds(verify(str(folder)))


def test_a_row_without_an_index_is_found(folder: Path) -> None:
    rewrite(folder, lambda rows: rows[3].__setitem__("index", None))
    report = verify(str(folder))
    assert kinds(report)[0] == ("row", None)
    assert report.missing == [range(3, 4)]


def test_a_wrong_offset_is_found(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LAYOUT_WEBDATASET)
    close_batch(write(spec), spec, range(3), False)
    rewrite(tmp_path, lambda rows: rows[3].__setitem__("offset", 512))
    assert ("row", 3) in kinds(verify(str(tmp_path)))


def test_other_conditions_than_were_drawn_are_found_where_the_files_say_them(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LAYOUT_WEBDATASET)
    close_batch(write(spec), spec, range(3), False)
    rewrite(tmp_path, lambda rows: rows[3].__setitem__("conditions", {"category": "heart", "style": "noto"}))
    assert kinds(verify(str(tmp_path))) == [("differs", 3)]


def test_a_batch_whose_blends_are_objects_in_its_json_is_as_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As workers of an earlier version wrote it, whole or beside newer ones."""
    spec = spec_of(tmp_path, LAYOUT_WEBDATASET, cells=(*CELLS, BLEND))
    place = write(spec, [0, 1])
    with monkeypatch.context() as earlier:
        earlier.setattr(layout, "tar_around", partial(layout.tar_around, earlier=True))
        write(spec, [2])
    assert b'"style": {"fluent": 0.3' in (tmp_path / "shards" / "00002.tar").read_bytes()
    close_batch(place, spec, range(spec.shard_count), False)
    assert kinds(verify(str(tmp_path))) == []


def test_what_is_no_batch_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotABatch, match="has not ended yet"):
        verify(str(tmp_path))
    write(spec_of(tmp_path), [0])
    with pytest.raises(NotABatch, match="has not ended yet"):
        verify(str(tmp_path))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "manifest.parquet")
    with pytest.raises(NotABatch, match="is not the manifest of a batch"):
        verify(str(tmp_path))
    (tmp_path / "manifest.parquet").write_bytes(b"nonsense")
    with pytest.raises(NotABatch, match="is not readable"):
        pick(str(tmp_path), 1, 0)


@pytest.mark.parametrize("content", [None, b"nonsense", b"[]"])
def test_a_missing_or_broken_claim_is_found(folder: Path, content: bytes | None) -> None:
    if content is None:
        (folder / "batch.json").unlink()
    else:
        (folder / "batch.json").write_bytes(content)
    report = verify(str(folder))
    assert kinds(report) == [("missing", None)]
    assert report.total is None


def test_a_batch_whose_close_was_cut_off_is_not_complete(folder: Path) -> None:
    claim = json.loads((folder / "batch.json").read_text())
    del claim["total"]
    (folder / "batch.json").write_text(json.dumps(claim))
    report = verify(str(folder))
    assert report.is_intact
    assert not report.is_complete


def test_only_the_first_problems_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, cells=(*CELLS, *CELLS, *CELLS, *CELLS, *CELLS, *CELLS))
    close_batch(write(spec), spec, range(spec.shard_count), False)
    for path in (tmp_path / "images").rglob("*.png"):
        path.unlink()
    report = verify(str(tmp_path))
    assert (report.problem_count, len(report.problems)) == (120, 100)


def test_picked_images_are_all_that_is_needed_to_draw_them_again(folder: Path) -> None:
    spec = spec_of(folder, cells=(*CELLS, BLEND))
    drawn = {image.index: image for shard in range(3) for image in images_of(spec, shard)}
    everything = pick(str(folder), 100, seed=1)
    assert [picked.index for picked in everything] == list(range(23))
    for picked in everything:
        image = drawn[picked.index]
        assert (picked.data, picked.weights, picked.id) == (image.data, image.weights, image.id)
        assert picked.sha256 == hashlib.sha256(image.data).hexdigest()
        assert (picked.model, picked.digest, picked.seed) == (spec.model, spec.digest, spec.seed)
        assert (picked.truncation, picked.image_format) == (spec.truncation, spec.image_format)


def test_picking_is_at_random_by_the_seed(folder: Path) -> None:
    choices = [[picked.index for picked in pick(str(folder), 5, seed)] for seed in (1, 1, 2, 3)]
    assert choices[0] == choices[1]
    assert len({tuple(choice) for choice in choices}) == 3
    assert all(len(set(choice)) == 5 for choice in choices)


def test_verify_writes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    verify(str(folder))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
