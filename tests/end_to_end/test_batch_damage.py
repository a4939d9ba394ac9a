"""`unikat batch verify`: what was damaged is found and named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.shell import Shell, open_shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with open_shell(tmp_path_factory.mktemp("batches")) as shell:
        yield shell


FILES, TARS = "files", "webdataset"


@pytest.fixture(scope="module", params=[FILES, TARS])
def sound(request: pytest.FixtureRequest, shell: Shell) -> Path:
    """A batch of 40 images in shards of 16, by seed 5; a test copies it."""
    layout = str(request.param)
    words = ("-n", "40", "--shard-size", "16", "--seed", "5", "--layout", layout)
    return shell.finished(f"out/sound-{layout}", *words)


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", str(sound), str(tmp_path / "copy")], check=True)
    return tmp_path / "copy"


def an_image_file(folder: Path) -> Path:
    """The file with image 17, or the tar in which it is."""
    return next(p for p in (folder / "images/00001/0000017.png", folder / "shards/00001.tar") if p.exists())


def flip_a_bit(folder: Path, index: int) -> None:
    """In the bytes of an image."""
    row = pq.read_table(folder / "manifest.parquet").slice(index, 1).to_pylist()[0]
    with (folder / row["file"]).open("r+b") as file:
        file.seek(row["offset"] + row["size"] // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def test_a_missing_file_is_found(shell: Shell, copy: Path) -> None:
    path = an_image_file(copy)
    path.unlink()
    said = shell.run("verify", str(copy), code=1)
    what = "the file is missing, with 16 images" if path.suffix == ".tar" else "(image 17): the file is missing"
    assert what in said
    assert "1 problem in" in said
    assert "40 of 40 images" in said


def test_a_truncated_file_is_found(shell: Shell, copy: Path) -> None:
    path = an_image_file(copy)
    os.truncate(path, path.stat().st_size - 1)
    said = shell.run("verify", str(copy), code=1)
    assert "1 problem in" in said
    assert str(path.relative_to(copy)) in said


def test_a_flipped_bit_is_found_by_reading_and_by_drawing_again(shell: Shell, copy: Path) -> None:
    flip_a_bit(copy, 17)
    said = shell.run("verify", str(copy), "--redraw", "40", code=1)
    assert "(image 17): the image has other bytes than the manifest says" in said
    assert "1 of 40 images came out different" in said
    assert "image 17\n" in said
    assert "the bytes should be the same" in said
    report = json.loads(shell.run("verify", str(copy), "--json", code=1))
    assert (report["ok"], report["problem_count"], report["problems"][0]["index"]) == (False, 1, 17)


def test_a_file_that_no_row_names_is_pointed_out(shell: Shell, copy: Path) -> None:
    stranger = an_image_file(copy).parent / "stranger.txt"
    stranger.write_text("")
    said = shell.run("verify", str(copy))
    assert "Not of this batch: 1 file" in said
    assert str(stranger.relative_to(copy)) in said


def test_rows_that_are_missing_are_counted(shell: Shell, copy: Path) -> None:
    table = pq.read_table(copy / "manifest.parquet")
    pq.write_table(pa.concat_tables([table.slice(0, 16), table.slice(20)]), copy / "manifest.parquet")
    said = shell.run("verify", str(copy), code=1)
    assert "is incomplete: 4 images are not in the manifest" in said
    assert "images 16 to 19" in said


def test_another_renderer_is_an_explanation_and_not_an_excuse(shell: Shell, copy: Path) -> None:
    table = pq.read_table(copy / "manifest.parquet")
    position = table.schema.get_field_index("provider")
    elsewhere = pa.array(["CUDAExecutionProvider"] * len(table))
    metadata = table.schema.metadata
    changed = table.set_column(position, "provider", elsewhere).replace_schema_metadata(metadata)
    pq.write_table(changed, copy / "manifest.parquet")
    assert pc.unique(changed["provider"]).to_pylist() == ["CUDAExecutionProvider"]
    same = shell.run("verify", str(copy), "--redraw", "40")
    assert "every byte the same, by CPUExecutionProvider" in same
    assert "the batch was drawn by CUDAExecutionProvider" in same
    flip_a_bit(copy, 3)
    said = shell.run("verify", str(copy), "--redraw", "40", code=1)
    assert "The batch was drawn by CUDAExecutionProvider" in said
    assert "promised only where all of that is the same" in said


def test_another_model_of_the_same_name_is_not_drawn_with(shell: Shell, copy: Path) -> None:
    table = pq.read_table(copy / "manifest.parquet")
    position = table.schema.get_field_index("model_digest")
    digest = "sha256:" + "0" * 64
    changed = table.set_column(position, "model_digest", pa.array([digest] * len(table)))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), copy / "manifest.parquet")
    said = shell.run("verify", str(copy), "--redraw", "1", code=1)
    assert f"the batch was drawn by tiny@1 ({digest}), the service has another one" in said


@pytest.mark.parametrize(("missing", "complaint"), [("manifest.parquet", "there is no"), ("batch.json", "is missing")])
def test_what_every_batch_has_is_missed(shell: Shell, copy: Path, missing: str, complaint: str) -> None:
    (copy / missing).unlink()
    said = shell.run("verify", str(copy), code=1)
    assert missing in said
    assert complaint in said


def test_a_folder_without_a_batch_is_named(shell: Shell, tmp_path: Path) -> None:
    assert str(tmp_path / "none") in shell.run("verify", str(tmp_path / "none"), code=1)
    assert "DESTINATION: " in shell.run("verify", "s3://bucket/a/../b", code=2)


@pytest.mark.parametrize("package", ["pyarrow", "fsspec"])
def test_a_package_that_is_missing_is_named_with_its_extra(sound: Path, package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from unikat.cli import main; main()"
    where = str(sound) if package == "pyarrow" else "memory://bucket/x"
    command = [sys.executable, "-c", program, "batch", "verify", where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"Error: a package is missing: {package}\nInstall it: pip install 'unikat[batches]'\n" == done.stderr
