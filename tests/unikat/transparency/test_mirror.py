"""Static files of a log: every byte that is changed is found, and named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unikat.transparency import (
    Checkpoint,
    NoteError,
    SigningKey,
    TileError,
    TransparencyError,
    check_extends,
    merkle,
    tiles,
)
from unikat.transparency.mirror import Mirror

ORIGIN = "registry.example/unikat"
KEY = SigningKey(ORIGIN, bytes(range(32)))
SIZE = 520
LEAVES = [f"entry {each}".encode() for each in range(SIZE)]
FILES = {
    "checkpoint",
    "tile/0/000", "tile/0/001", "tile/0/002.p/8", "tile/1/000.p/2",
    "tile/entries/000", "tile/entries/001", "tile/entries/002.p/8",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files by the specification, made without the code that publishes them."""
    folder = tmp_path_factory.mktemp("mirror")
    node = merkle.nodes_of(LEAVES)
    files = {"checkpoint": Checkpoint(ORIGIN, SIZE, merkle.root(SIZE, node)).sign([KEY]).encode()}
    for number, name in enumerate(("000", "001", "002.p/8")):
        part = LEAVES[number * 256 : number * 256 + 256]
        files[f"tile/0/{name}"] = b"".join(map(merkle.leaf_hash, part))
        files[f"tile/entries/{name}"] = b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in part)
    files["tile/1/000.p/2"] = node(8, 0) + node(8, 1)
    assert files.keys() == FILES
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (1, 7, 3, "tile/1/007.p/3"),
        ("entries", 1234067, 256, "tile/entries/x001/x234/067"),
        (2, 1000, 255, "tile/2/x001/000.p/255"),
    ],
)
def test_paths_are_those_of_the_specification(level: int | str, index: int, width: int, path: str) -> None:
    assert tiles.tile_path(level, index, width) == path


def test_a_log_of_70000_entries_has_the_tiles_that_the_specification_counts() -> None:
    widths = [list(tiles.widths(70_000 >> 8 * level)) for level in range(3)]
    assert [(len(each), each[-1][1]) for each in widths] == [(274, 112), (2, 17), (1, 1)]


def test_all_files_of_a_log_are_named() -> None:
    assert {"checkpoint", *tiles.paths(SIZE)} == FILES
    assert list(tiles.paths(0)) == []
    assert list(tiles.paths(256)) == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]


def test_a_whole_copy_holds_and_proves(folder: Path) -> None:
    mirror = Mirror(folder, KEY.verifier)
    mirror.verify()
    for index in (0, 255, 256, 511, 512, 519):
        assert mirror.leaf(index) == LEAVES[index]
        mirror.prove(index).verify(LEAVES[index], KEY.verifier)
    for old in (1, 255, 256, 300, 520):
        small = Checkpoint(ORIGIN, old, merkle.root(old, merkle.nodes_of(LEAVES)))
        check_extends(small, mirror.checkpoint, mirror.consistency(old))
    for index in (-1, 520):
        with pytest.raises(ValueError, match=f"has no entry {index}"):
            mirror.leaf(index)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_changed_byte_of_any_file_is_found_and_named(folder: Path, name: str, data: st.DataObject) -> None:
    path = folder / name
    before = path.read_bytes()
    changed = bytearray(before)
    changed[data.draw(st.integers(0, len(before) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        with pytest.raises(TransparencyError) as found:
            Mirror(folder, KEY.verifier).verify()
    finally:
        path.write_bytes(before)
    if name != "checkpoint":
        assert isinstance(found.value, TileError)
        assert name in str(found.value) or (name.startswith("tile/0/") and "tile/1/" in str(found.value))


def test_what_is_missing_or_cut_off_is_named(folder: Path, tmp_path: Path) -> None:
    for name in sorted(FILES - {"checkpoint"}):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(folder, copy)
        (copy / name).write_bytes((copy / name).read_bytes()[:-1])
        with pytest.raises(TileError, match=name):
            Mirror(copy, KEY.verifier).verify()
        (copy / name).unlink()
        with pytest.raises(TileError, match=f"{name}: No such file"):
            Mirror(copy, KEY.verifier).verify()


def test_tiles_of_another_log_do_not_fit_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "checkpoint").write_text(Checkpoint(ORIGIN, SIZE, bytes(32)).sign([KEY]), encoding="utf-8")
    with pytest.raises(TileError, match="they are of another log"):
        Mirror(copy, KEY.verifier).verify()


def test_a_checkpoint_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"\xff")
    with pytest.raises(NoteError, match="no UTF-8"):
        Mirror(tmp_path, KEY.verifier)
