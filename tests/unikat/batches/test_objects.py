from __future__ import annotations

import copy
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec.config
import pytest

from tests.support.s3 import S3, environment, refusing_checksums
from tests.unikat.batches.conftest import full
from tests.unikat.batches.drawn import LAYOUTS, content_of, spec_of, write
from unikat.batches.shards import close_batch
from unikat.batches.storage import DestinationError, DestinationRefused, Storage
from unikat.batches.verify import verify
from unikat.v1.batches_pb2 import LAYOUT_WEBDATASET

URL = "s3://bucket/a/b"


@pytest.fixture
def bucket(s3: S3) -> S3:
    """A server with a bucket."""
    s3.create_bucket("bucket")
    return s3


def storage() -> Storage:
    """As a worker opens it."""
    return Storage.open(URL, ["s3://bucket/a"])


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Until the end of the block, as if TMPDIR named this folder."""
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = None


@contextmanager
def configured(**variables: str) -> Iterator[None]:
    """Until the end of the block, as if these were in the environment when fsspec was loaded."""
    before = copy.deepcopy(fsspec.config.conf)
    fsspec.config.set_conf_env(fsspec.config.conf, variables)
    try:
        yield
    finally:
        fsspec.config.conf.clear()
        fsspec.config.conf.update(before)


def test_a_store_that_refuses_checksums_can_be_used(bucket: S3) -> None:
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # it would keep the endpoint of a test before
    with refusing_checksums(bucket) as refused:
        place = storage()
        place.write_many({f"images/{number}.png": b"png" for number in range(3)})
        with place.writing("manifest.parquet") as file:
            file.write(b"rows" * 100_000)
        assert place.read_many(["images/1.png", "none"]) == [b"png", None]
        assert place.names("images") == ["0.png", "1.png", "2.png"]
        place.remove(["images/0.png", "images/1.png", "none"])
        assert place.names("images") == ["2.png"]
        assert set(refused) <= {"POST"}, "only the deletion of many at once, which cannot do without"
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_what_is_put_can_be_read(bucket: S3) -> None:
    store = storage()
    store.write("x", b"0123456789")
    store.write_many({"images/00001/b.png": b"b", "images/00002/c.png": b"c"})
    assert bucket.keys("bucket") == {"a/b/x": 10, "a/b/images/00001/b.png": 1, "a/b/images/00002/c.png": 1}
    assert store.read("x") == b"0123456789"
    assert store.read_range("x", 2, 3) == b"234"
    assert store.read_range("x", 8, 30) == b"89"
    assert (store.read_range("x", 10, 3), store.read_range("x", 30, 3)) == (b"", b"")
    assert store.read_many(["images/00002/c.png", "none"]) == [b"c", None]
    assert store.names("") == ["images/", "x"]
    assert store.names("images") == ["00001/", "00002/"]
    assert store.names("none") == []
    for read in (store.read, lambda name: store.read_range(name, 0, 1), lambda name: store.reading(name).__enter__()):
        with pytest.raises(FileNotFoundError):
            read("none")
    with store.writing("m") as file:
        file.write(b"bit by ")
        assert "m" not in store.names("")
        file.write(b"bit")
    with store.reading("m") as spooled:
        assert spooled.read() == b"bit by bit"
    store.remove(["x", "none"])
    store.remove([])
    store.tidy("images")
    store.remove_folder("images")
    assert sorted(bucket.keys("bucket")) == ["a/b/images/00001/b.png", "a/b/images/00002/c.png", "a/b/m"]


def test_what_others_put_and_removed_is_seen_at_once(bucket: S3) -> None:
    store = storage()
    assert store.names("") == []
    assert store.read_many(["x"]) == [None]
    bucket.client().put_object(Bucket="bucket", Key="a/b/x", Body=b"first")
    assert (store.names(""), store.read("x")) == (["x"], b"first")
    bucket.client().put_object(Bucket="bucket", Key="a/b/x", Body=b"the second")
    assert (store.read("x"), store.read_range("x", 4, 6)) == (b"the second", b"second")
    bucket.client().delete_object(Bucket="bucket", Key="a/b/x")
    assert (store.names(""), store.read_many(["x"])) == ([], [None])


def test_a_file_is_a_single_put(bucket: S3, caplog: pytest.LogCaptureFixture) -> None:
    store = storage()
    with caplog.at_level(logging.INFO, logger="werkzeug"):
        store.write("shards/00000.tar", bytes(6_000_000))
        with store.writing("manifest.parquet") as file:
            file.write(bytes(6_000_000))
    requests = [record.getMessage() for record in caplog.records if record.name == "werkzeug"]
    assert len(requests) == 2
    assert all("PUT /bucket/a/b/" in request and "uploads" not in request for request in requests)


def test_only_what_is_open_can_be_written_to(bucket: S3) -> None:
    for elsewhere in ("s3://bucket", "s3://bucket/ab", "s3://other/a", "gs://bucket/a"):
        with pytest.raises(DestinationRefused, match="not open here"):
            Storage.open(elsewhere, ["s3://bucket/a"])


@pytest.mark.parametrize("url", ["memory://host/a", "http://host/a", "ftp://host/a", "unknown://host/a"])
def test_what_cannot_put_at_once_is_refused(url: str) -> None:
    with pytest.raises(DestinationRefused, match="is no object store"):
        Storage.open(url, [url])


def test_a_bucket_that_is_not_there_is_a_reason_and_works_once_it_is(s3: S3) -> None:
    store = storage()
    for files in ({"x": b"x"}, {"x": b"x", "y": b"y"}):
        with pytest.raises(DestinationError, match=f"{URL}: The specified bucket does not exist"):
            store.write_many(files)
    s3.create_bucket("bucket")
    store.write("x", b"x")
    assert s3.keys("bucket") == {"a/b/x": 1}


def write_bit_by_bit(store: Storage) -> None:
    with store.writing("m") as file:
        file.write(bytes(2_000_000))


def read_seeking(store: Storage) -> bytes:
    with store.reading("x") as file:
        return file.read()


def test_a_full_disk_for_temporary_files_is_a_reason(bucket: S3, small_disk: Path) -> None:
    store = storage()
    store.write("x", bytes(2_000_000))
    with temporary_files_in(small_disk), full(small_disk):
        for work in (write_bit_by_bit, read_seeking):
            with pytest.raises(DestinationError, match=r"No space left on device|File too large"):
                work(store)
    write_bit_by_bit(store)
    assert bucket.keys("bucket") == {"a/b/m": 2_000_000, "a/b/x": 2_000_000}
    assert len(read_seeking(store)) == 2_000_000


def test_a_folder_for_temporary_files_that_is_gone_is_a_reason_and_no_missing_file(bucket: S3, tmp_path: Path) -> None:
    store = storage()
    store.write("x", b"x")
    with temporary_files_in(tmp_path / "gone"):
        for work in (write_bit_by_bit, read_seeking):
            with pytest.raises(DestinationError, match=r"No such file or directory \(for a temporary file"):
                work(store)


@pytest.mark.usefixtures("bucket")
def test_a_configuration_that_no_store_can_be_made_of_is_a_reason() -> None:
    with (
        configured(FSSPEC_S3_USERNAME="one", FSSPEC_S3_KEY="another"),
        pytest.raises(DestinationError, match="not both"),
    ):
        storage()
    storage().write("x", b"x")


def test_a_server_that_does_not_answer_is_a_reason_and_works_once_it_does(bucket: S3) -> None:
    store = storage()
    with (
        environment({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}),
        pytest.raises(DestinationError, match=r"127\.0\.0\.1:9"),
    ):
        store.write("x", b"x")
    store.write("x", b"x")
    assert bucket.keys("bucket") == {"a/b/x": 1}


def test_missing_credentials_are_a_reason(bucket: S3, tmp_path: Path) -> None:
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    before = {name: os.environ.pop(name) for name in keys}
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    try:
        with environment(nowhere), pytest.raises(DestinationError, match="credentials"):
            storage().write("x", b"x")
    finally:
        os.environ.update(before)
    storage().write("x", b"x")


def test_wrong_credentials_are_a_reason_and_right_ones_work_without_a_new_process(bucket: S3) -> None:
    right = bucket.create_user()
    store = storage()
    with bucket.checking_credentials():
        with pytest.raises(DestinationError, match=r"InvalidAccessKeyId|does not exist in our records") as wrong:
            store.write("x", b"x")
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(wrong.value)
        with environment(right):
            store.write("x", b"x")
            assert store.read("x") == b"x"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_bucket_holds_the_same_batch_as_a_folder(bucket: S3, tmp_path: Path, layout: int) -> None:
    for destination in (tmp_path, URL):
        spec = spec_of(destination, layout)
        assert close_batch(write(spec), spec, range(spec.shard_count), False) == f"{spec.destination}/manifest.parquet"
    client = bucket.client()
    keys = [key.removeprefix("a/b/") for key in bucket.keys("bucket")]
    there = {key: client.get_object(Bucket="bucket", Key=f"a/b/{key}")["Body"].read() for key in keys}
    assert there == content_of(tmp_path)
    report = verify(URL)
    assert report.is_complete
    assert (report.rows, report.extra) == (20, [])


def test_a_batch_in_a_bucket_can_be_closed_again_after_its_parts_are_gone(bucket: S3) -> None:
    spec = spec_of(URL, LAYOUT_WEBDATASET)
    store = write(spec)
    close_batch(store, spec, range(spec.shard_count), False)
    before = store.read("manifest.parquet")
    close_batch(store, spec, range(spec.shard_count), False)
    assert store.read("manifest.parquet") == before


def test_several_threads_may_write_at_once(bucket: S3) -> None:
    store = storage()
    threads = [
        threading.Thread(target=store.write_many, args=({f"{n}/{name}": bytes(n) for name in "abcdefgh"},))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bucket.keys("bucket") == {f"a/b/{n}/{name}": n for n in range(4) for name in "abcdefgh"}
