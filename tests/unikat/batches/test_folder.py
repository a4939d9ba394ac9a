from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import eventually
from tests.unikat.batches.writer import writer_to
from unikat.batches.destination import normalise, open_prefixes
from unikat.batches.storage import DestinationError, DestinationRefused, Storage

NOBODY = 65534


def at(folder: Path, *opened: Path) -> Storage:
    """Storage of a folder where some folders, by default itself, are open."""
    return Storage.open(normalise(str(folder)), open_prefixes(",".join(map(str, opened or [folder]))))


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users can reach, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="unikat-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    storage = at(tmp_path)
    storage.write("a", b"0123456789")
    storage.write_many({"images/00001/b.png": b"b", "images/00002/c.png": b"c", "a": b"9876543210"})
    assert storage.read("a") == (tmp_path / "a").read_bytes() == b"9876543210"
    assert storage.read_range("a", 2, 3) == b"765"
    assert storage.read_range("a", 8, 30) == b"10"
    assert storage.read_many(["images/00002/c.png", "none", "images/none/x"]) == [b"c", None, None]
    assert storage.names("") == ["a", "images/"]
    assert storage.names("images") == ["00001/", "00002/"]
    assert storage.names("none") == []
    storage.remove(["a", "none", "none/none"])
    assert storage.names("") == ["images/"]
    assert storage.url_of("a/b") == f"file://{tmp_path}/a/b"


def test_a_file_that_is_not_there_is_said_so_when_it_is_read(tmp_path: Path) -> None:
    storage = at(tmp_path)
    for name in ("none", "none/none"):
        with pytest.raises(FileNotFoundError):
            storage.read(name)
        with pytest.raises(FileNotFoundError):
            storage.read_range(name, 0, 1)
        with pytest.raises(FileNotFoundError), storage.reading(name):
            pass


def test_a_named_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "batch.json")
    storage = at(tmp_path)
    assert storage.read("batch.json") == b""
    storage.write("batch.json", b"new")
    assert storage.read("batch.json") == b"new"


def test_a_file_written_bit_by_bit_appears_when_it_is_whole(tmp_path: Path) -> None:
    storage = at(tmp_path)
    with storage.writing("shards/a.tar") as file:
        file.write(b"half")
        file.flush()
        assert storage.names("shards") == []
        file.write(b"whole")
    assert storage.read("shards/a.tar") == b"halfwhole"
    with pytest.raises(RuntimeError, match="changed my mind"):
        change_my_mind(storage)
    assert storage.read("shards/a.tar") == b"halfwhole"
    assert os.listdir(tmp_path / "shards") == ["a.tar"]


def change_my_mind(storage: Storage) -> None:
    with storage.writing("shards/a.tar") as file:
        file.write(b"other")
        raise RuntimeError("changed my mind")


@pytest.mark.parametrize("name", ["../x", "a/../x", "/x", "a//x", "./x", "a/", ".."])
def test_no_name_leads_out_of_the_destination(tmp_path: Path, name: str) -> None:
    storage = at(tmp_path / "in", tmp_path)
    with pytest.raises(ValueError, match="does not name a file"):
        storage.write(name, b"x")
    with pytest.raises(ValueError, match="does not name a file"):
        storage.read(name)
    assert os.listdir(tmp_path) == []


def test_only_what_is_open_can_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    at(tmp_path / "open" / "a", tmp_path / "open").write("x", b"x")
    for elsewhere in (tmp_path / "opened", tmp_path, Path("/etc")):
        with pytest.raises(DestinationRefused, match="not open here"):
            at(elsewhere, tmp_path / "open")
    with pytest.raises(DestinationRefused, match="opens nothing"):
        Storage.open("file:///tmp", ())


def test_a_link_out_of_what_is_open_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "open" / "way").symlink_to(tmp_path / "secret")
    for below in ("way", "way/deeper"):
        with pytest.raises(DestinationRefused, match="symbolic link"):
            at(tmp_path / "open" / below, tmp_path / "open")
    assert os.listdir(tmp_path / "secret") == []


def test_a_link_within_what_is_open_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "real")
    at(tmp_path / "way", tmp_path).write("x", b"x")  # the destination is a link
    at(tmp_path / "way" / "b", tmp_path / "way").write("x", b"x")  # the prefix is one
    assert sorted(os.listdir(tmp_path / "real")) == ["b", "x"]


@pytest.mark.parametrize("name", ["shards/a.tar", "shards/deep/a.tar"])
def test_a_link_that_appears_later_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.tar").write_bytes(b"secret")
    storage = at(tmp_path / "open" / "a", tmp_path / "open")
    storage.write("batch.json", b"{}")
    (tmp_path / "open" / "a" / "shards").symlink_to(tmp_path / "secret")
    for attempt in (lambda: storage.write(name, b"x"), lambda: storage.read(name), lambda: storage.remove([name])):
        with pytest.raises(DestinationRefused, match='"shards" is a symbolic link'):
            attempt()
    shutil.rmtree(tmp_path / "open" / "a")
    (tmp_path / "open" / "a").symlink_to(tmp_path / "secret")
    with pytest.raises(DestinationRefused, match='"a" is a symbolic link'):
        storage.write("x", b"x")
    assert [path.name for path in (tmp_path / "secret").rglob("*")] == ["a.tar"]


def test_a_link_in_the_place_of_a_file_is_replaced_and_never_read(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "open" / "batch.json").symlink_to(tmp_path / "secret")
    storage = at(tmp_path / "open")
    with pytest.raises(DestinationRefused, match="symbolic link"):
        storage.read("batch.json")
    storage.write("batch.json", b"{}")
    assert storage.read("batch.json") == b"{}"
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_a_prefix_that_is_gone_pauses_and_is_not_created(tmp_path: Path) -> None:
    storage = at(tmp_path / "disk" / "a", tmp_path / "disk")
    with pytest.raises(DestinationError, match=f"the folder {tmp_path}/disk is not there"):
        storage.write("x", b"x")
    with pytest.raises(DestinationError, match="is not there"):
        storage.names("")
    (tmp_path / "disk").mkdir()
    storage.write("x", b"x")
    assert (tmp_path / "disk" / "a" / "x").exists()


def test_a_file_in_the_place_of_a_folder_is_a_reason(tmp_path: Path) -> None:
    storage = at(tmp_path)
    (tmp_path / "shards").write_bytes(b"")
    with pytest.raises(DestinationError, match="Not a directory"):
        storage.write("shards/a.tar", b"x")
    (tmp_path / "shards").unlink()
    storage.write("shards/a.tar", b"x")


def test_a_folder_without_permission_is_a_reason(public: Path) -> None:
    (public / "out").mkdir(0o555)
    with writer_to(public / "out") as writer:
        if os.geteuid() == 0:
            writer.tell(user=NOBODY)
        assert writer.tell(write=10) == f"file://{public}/out: Permission denied"
        (public / "out").chmod(0o777)
        assert writer.tell(write=10) == "ok"
    (public / "out").chmod(0o755)


def test_a_file_that_the_system_does_not_let_grow_is_a_reason_and_leaves_nothing(tmp_path: Path) -> None:
    with writer_to(tmp_path) as writer:
        assert writer.tell(limit=100_000, write=200_000) == f"file://{tmp_path}: File too large"
        assert os.listdir(tmp_path / "shards") == []
        assert writer.tell(limit=300_000, write=200_000) == "ok"


def test_a_full_disk_is_a_reason_and_leaves_nothing(small_disk: Path) -> None:
    is_disk = os.path.ismount(small_disk)
    with writer_to(small_disk) as writer:
        if not is_disk:
            writer.tell(limit=700_000)
        else:
            (small_disk / "other").write_bytes(bytes(300_000))
        reason = writer.tell(write=900_000)
        assert reason == f"file://{small_disk}: {'No space left on device' if is_disk else 'File too large'}"
        assert os.listdir(small_disk / "shards") == []
        if not is_disk:
            writer.tell(limit=1_000_000)
        else:
            (small_disk / "other").unlink()
        assert writer.tell(write=900_000) == "ok"


def test_a_killed_writer_leaves_no_half_file_under_a_name(tmp_path: Path) -> None:
    storage = at(tmp_path)
    storage.write("shards/stopped.tar", b"before")
    with writer_to(tmp_path) as writer:
        assert writer.tell(stop_within=100_000) == "stopped"
        writer.kill()
    assert len(os.listdir(tmp_path / "shards")) == 2
    assert storage.names("shards") == ["stopped.tar"]
    assert storage.read("shards/stopped.tar") == b"before"
    storage.tidy("shards")
    assert os.listdir(tmp_path / "shards") == ["stopped.tar"]


def test_a_writer_killed_at_any_moment_leaves_a_file_whole_or_not_at_all(tmp_path: Path) -> None:
    size = 100_000_000
    for _ in range(3):
        with writer_to(tmp_path) as writer:
            assert writer.tell(limit=-1) == "ok"
            threading.Thread(target=writer.tell, kwargs={"write": size}, daemon=True).start()
            eventually(lambda: any(tmp_path.glob("shards/.*")))
            writer.kill()
        names = at(tmp_path).names("shards")
        assert names == [] or (tmp_path / "shards" / "written.tar").stat().st_size == size
        at(tmp_path).tidy("shards")


def test_only_an_empty_folder_is_removed(tmp_path: Path) -> None:
    storage = at(tmp_path)
    storage.write_many({"a/x": b"x", "b/x": b"x"})
    storage.remove(["a/x"])
    for folder in ("a", "b", "none", "none/none"):
        storage.remove_folder(folder)
    assert os.listdir(tmp_path) == ["b"]


def test_what_is_being_written_is_not_tidied_away(tmp_path: Path) -> None:
    storage, other = at(tmp_path), at(tmp_path)
    with storage.writing("shards/a.tar") as file:
        file.write(b"half")
        other.tidy("shards")
        file.write(b"whole")
    assert storage.read("shards/a.tar") == b"halfwhole"


def test_tidying_up_all_the_time_disturbs_no_writer(tmp_path: Path) -> None:
    storage, other = at(tmp_path), at(tmp_path)
    files = {f"shards/{number:05}.tar": bytes([number]) * 1000 for number in range(40)}
    stop = threading.Event()

    def tidy() -> None:
        while not stop.wait(0.001):
            other.tidy("shards")

    tidying = threading.Thread(target=tidy)
    tidying.start()
    try:
        for _ in range(10):
            storage.write_many(files)
    finally:
        stop.set()
        tidying.join()
    assert {name: storage.read(name) for name in files} == files
    assert sorted(os.listdir(tmp_path / "shards")) == sorted(name.removeprefix("shards/") for name in files)
