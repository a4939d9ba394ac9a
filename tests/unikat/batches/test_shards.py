from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unikat.batches.drawn import (
    BLEND,
    CELLS,
    LAYOUTS,
    RENDERER,
    content_of,
    images_of,
    spec_of,
    storage_of,
    write,
)
from unikat.batches.shards import DrawnImage, close_batch, write_shard
from unikat.batches.storage import DestinationError, DestinationRefused
from unikat.v1.batches_pb2 import LAYOUT_FILES, LAYOUT_WEBDATASET


@pytest.mark.parametrize(
    ("layout", "name"), [(LAYOUT_FILES, "images/00001/0000008.png"), (LAYOUT_WEBDATASET, "shards/00001.tar")]
)
def test_a_shard_is_its_images_its_rows_and_the_claim(tmp_path: Path, layout: int, name: str) -> None:
    spec = spec_of(tmp_path, layout)
    write(spec, [1])
    there = content_of(tmp_path)
    assert name in there
    assert ".unikat/00001.parquet" in there
    assert len(there) == (10 if layout == LAYOUT_FILES else 3)
    claim = json.loads(there["batch.json"])
    assert claim["fingerprint"] == spec.fingerprint
    assert (claim["seed"], claim["model"], claim["image_format"]) == (2**64 - 1, "emoji@1", "png")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_shard_written_twice_or_elsewhere_or_in_another_order_has_the_same_bytes(tmp_path: Path, layout: int) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one, two = spec_of(tmp_path / "one", layout), spec_of(tmp_path / "two", layout)
    write(one)
    write(one, [1])
    for shard in (2, 0, 1):
        write_shard(storage_of(two), two.shard_job("other", shard), images_of(two, shard)[::-1], RENDERER)
    assert content_of(tmp_path / "one") == content_of(tmp_path / "two")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_writers_of_a_shard_at_once_leave_one_shard(tmp_path: Path, layout: int) -> None:
    spec = spec_of(tmp_path, layout)
    write(spec, [0])
    once = content_of(tmp_path)
    shutil.rmtree(tmp_path / ("images" if layout == LAYOUT_FILES else "shards"))
    errors: list[BaseException] = []
    begin = threading.Barrier(4)

    def run() -> None:
        try:
            begin.wait()
            for _ in range(10):
                write(spec, [0])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert content_of(tmp_path) == once


def test_images_of_another_shard_are_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    job, images = spec.shard_job("b", 0), images_of(spec, 0)
    for wrong in (images[:-1], [*images, images[-1]], images_of(spec, 1), []):
        with pytest.raises(ValueError, match="has 8 images from index 0 on"):
            write_shard(storage_of(spec), job, wrong, RENDERER)
    assert os.listdir(tmp_path) == []


def test_a_folder_with_another_batch_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    write(spec_of(tmp_path, seed=1))
    before = content_of(tmp_path)
    other = spec_of(tmp_path, seed=2)
    with pytest.raises(DestinationRefused, match="holds another batch"):
        write(other, [0])
    with pytest.raises(DestinationRefused, match="holds another batch"):
        close_batch(storage_of(other), other, [0], False)
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[]", b"{}", b"\xff", b'"text"', b"3"])
def test_a_claim_that_is_nonsense_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "batch.json").write_bytes(content)
    with pytest.raises(DestinationRefused):
        write(spec_of(tmp_path), [0])
    assert content_of(tmp_path) == {"batch.json": content}


def test_a_folder_that_went_away_while_the_batch_was_running_is_a_reason(tmp_path: Path) -> None:
    spec = spec_of(tmp_path / "out")
    (tmp_path / "out").mkdir()
    storage = write(spec, [0])
    (tmp_path / "out").rename(tmp_path / "away")
    (tmp_path / "out").mkdir()  # what is left when a disk is not mounted
    job, images = spec.shard_job("b", 1), images_of(spec, 1)
    with pytest.raises(DestinationError, match=r"batch\.json is gone"):
        write_shard(storage, job, images, RENDERER, begun=True)
    with pytest.raises(DestinationError, match=r"batch\.json is gone"):
        close_batch(storage, spec, [0], False)
    assert os.listdir(tmp_path / "out") == []
    (tmp_path / "out").rmdir()
    (tmp_path / "away").rename(tmp_path / "out")
    write_shard(storage, job, images, RENDERER, begun=True)
    assert (tmp_path / "out" / "images" / "00001").is_dir()


# A program of its own: the library leaves its last file open, which is an error here.
READ_BY_WEBDATASET = """
import hashlib, json, sys, webdataset
raw = webdataset.WebDataset(sys.argv[1:], shardshuffle=False)
decoded = webdataset.WebDataset(sys.argv[1:], shardshuffle=False).decode("rgb8")
for sample, image in zip(raw, decoded, strict=True):
    digest = hashlib.sha256(sample["png"]).hexdigest()
    print(json.dumps([sample["__key__"], digest, image["png"].shape, image["json"]["id"], image["json"]["index"]]))
"""


def test_the_webdataset_library_reads_the_shards(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LAYOUT_WEBDATASET, cells=(*CELLS, BLEND))
    close_batch(write(spec), spec, range(spec.shard_count), False)
    urls = sorted(str(path) for path in (tmp_path / "shards").iterdir())
    output = subprocess.check_output([sys.executable, "-c", READ_BY_WEBDATASET, *urls], text=True)
    drawn = [image for shard in range(spec.shard_count) for image in images_of(spec, shard)]
    assert [json.loads(line) for line in output.splitlines()] == [
        [f"{image.index:07}", hashlib.sha256(image.data).hexdigest(), [16, 16, 3], image.id, image.index]
        for image in drawn
    ]


def test_an_image_that_cannot_be_read_is_an_error_of_the_shard(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    images = [DrawnImage(image.index, image.id, image.weights, b"no image") for image in images_of(spec, 0)]
    with pytest.raises(OSError, match="cannot identify image file"):
        write_shard(storage_of(spec), spec.shard_job("b", 0), images, RENDERER)
    assert not (tmp_path / ".unikat").exists()
