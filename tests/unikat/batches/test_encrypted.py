"""Encrypted batches: decrypted they are the plain ones, and nothing of them is readable, changed or moved unseen."""

from __future__ import annotations

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.s3 import S3
from tests.unikat.batches.drawn import LAYOUTS, RENDERER, content_of, images_of, spec_of, storage_of, write
from unikat.batches.decrypt import NotEmpty, decrypt
from unikat.batches.encrypted import EncryptedStorage
from unikat.batches.envelope import Envelope
from unikat.batches.shards import LostShards, close_batch, write_shard
from unikat.batches.spec import BatchSpec
from unikat.batches.storage import DamagedFile, DestinationRefused, Storage
from unikat.batches.storage_keys import NoKey, StorageKeys
from unikat.batches.verify import NotABatch, pick, verify
from unikat.key_file import new_key_line, read_keys
from unikat.v1.batches_pb2 import LAYOUT_FILES, LAYOUT_WEBDATASET


def key_file(path: Path, *ids: str) -> Path:
    """A file of fresh keys."""
    path.write_text("".join(map(new_key_line, ids)))
    path.chmod(0o600)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> StorageKeys:
    return StorageKeys(key_file(tmp_path / "keys", "first", "second"))


def encrypted(spec: BatchSpec, keys: StorageKeys, key_id: str = "first") -> EncryptedStorage:
    """The batch's storage, as a worker opens it."""
    return EncryptedStorage(storage_of(spec), keys, key_id)


def written(spec: BatchSpec, keys: StorageKeys, key_id: str = "first") -> Path:
    """The folder of a batch that was written, by a storage of its own a shard, and closed."""
    folder = Path(spec.destination.removeprefix("file://"))
    folder.mkdir(exist_ok=True)
    for shard in range(spec.shard_count):
        write_shard(encrypted(spec, keys, key_id), spec.shard_job("b", shard), images_of(spec, shard), RENDERER)
    url = close_batch(encrypted(spec, keys, key_id), spec, range(spec.shard_count), False)
    assert url == f"{spec.destination}/manifest.parquet.enc"
    return folder


@pytest.fixture(params=LAYOUTS, ids=["files", "webdataset"])
def folder(tmp_path: Path, request: pytest.FixtureRequest, keys: StorageKeys) -> Path:
    """A complete encrypted batch of 20 images."""
    return written(spec_of(tmp_path / "out", request.param), keys)


def plain(tmp_path: Path, layout: int) -> dict[str, bytes]:
    """The same batch without encryption."""
    (tmp_path / "plain").mkdir()
    spec = spec_of(tmp_path / "plain", layout)
    close_batch(write(spec), spec, range(spec.shard_count), False)
    return content_of(tmp_path / "plain")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_decrypted_it_is_the_plain_batch_byte_for_byte(tmp_path: Path, keys: StorageKeys, layout: int) -> None:
    folder = written(spec_of(tmp_path / "out", layout), keys)
    done = decrypt(str(folder), str(tmp_path / "decrypted"), keys)
    assert content_of(tmp_path / "decrypted") == plain(tmp_path, layout)
    assert (done.files, done.damaged, done.left_out) == (len(content_of(folder)) - 1, [], [])
    assert verify(str(tmp_path / "decrypted")).is_complete


def test_nothing_that_says_what_was_drawn_is_readable(folder: Path) -> None:
    there = content_of(folder)
    assert set(json.loads(there["batch.json"])) == {"format_version", "encryption", "details"}
    assert all(name.endswith(".enc") for name in there if name != "batch.json")
    for data in there.values():
        for word in (b"PNG", b"PAR1", b"noto", b"ustar", b"emoji", str(2**64 - 1).encode(), b"fingerprint"):
            assert word not in data


def test_verify_and_pick_work_with_the_key(folder: Path, keys: StorageKeys) -> None:
    report = verify(str(folder), keys=keys)
    assert report.is_complete
    assert (report.rows, report.total, report.extra, report.encryption_key) == (20, 20, [], "first")
    spec = spec_of(folder)
    drawn = {image.index: image.data for shard in range(3) for image in images_of(spec, shard)}
    assert {each.index: each.data for each in pick(str(folder), 20, 1, keys)} == drawn


def test_without_the_key_it_is_said_which_one_is_missing(folder: Path, tmp_path: Path) -> None:
    other = StorageKeys(key_file(tmp_path / "others", "other"))
    for keys in (StorageKeys(None), other):
        for act in (lambda: verify(str(folder), keys=keys), lambda: decrypt(str(folder), str(tmp_path / "to"), keys)):  # noqa: B023
            with pytest.raises(NoKey, match='no storage key "first" here'):
                act()
    assert not (tmp_path / "to").exists()


def test_another_key_of_the_same_name_opens_nothing_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    other, before = StorageKeys(key_file(tmp_path / "others", "first")), content_of(folder)
    with pytest.raises(NoKey, match='the storage key "first" here does not open'):
        verify(str(folder), keys=other)
    with pytest.raises(NoKey):
        written(spec_of(folder), other)
    assert content_of(folder) == before


def test_a_flipped_bit_anywhere_in_any_file_is_found(folder: Path, keys: StorageKeys) -> None:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        sound = path.read_bytes()
        places = {0, 11, 12, 13, len(sound) // 2, len(sound) - 17, len(sound) - 16, len(sound) - 1}
        if path.name == "batch.json":
            places = set(range(len(sound)))
        for position in places:
            path.write_bytes(sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :])
            assert found(folder, keys), (path, position)
        path.write_bytes(sound[:-1])
        assert found(folder, keys), path
        path.write_bytes(sound)
    assert verify(str(folder), keys=keys).is_complete


def found(folder: Path, keys: StorageKeys) -> bool:
    """Whether something is wrong with a batch."""
    try:
        return not verify(str(folder), keys=keys).is_intact
    except (NotABatch, NoKey, DestinationRefused):
        return True


def test_swapped_files_are_found(tmp_path: Path, keys: StorageKeys) -> None:
    for layout, names in (
        (LAYOUT_FILES, ("images/00000/0000001.png.enc", "images/00001/0000009.png.enc")),
        (LAYOUT_WEBDATASET, ("shards/00000.tar.enc", "shards/00001.tar.enc")),
    ):
        folder = written(spec_of(tmp_path / f"out{layout}", layout), keys)
        one, two = ((folder / name).read_bytes() for name in names)
        (folder / names[0]).write_bytes(two)
        (folder / names[1]).write_bytes(one)
        report = verify(str(folder), keys=keys)
        assert [problem.kind for problem in report.problems] == ["differs", "differs"]
        done = decrypt(str(folder), str(tmp_path / f"decrypted{layout}"), keys)
        assert len(done.damaged) == 2
        assert "another file than the batch wrote by that name" in done.damaged[0]


def test_a_file_of_another_batch_with_the_same_key_is_found(tmp_path: Path, keys: StorageKeys) -> None:
    one, two = (written(spec_of(tmp_path / name), keys) for name in ("one", "two"))
    for name in ("images/00000/0000001.png.enc", "contact-sheet.png.enc"):
        shutil.copy(two / name, one / name)
    assert [p.file for p in verify(str(one), keys=keys).problems] == ["contact-sheet.png", "images/00000/0000001.png"]


def test_a_file_that_is_not_encrypted_is_no_part_of_it(folder: Path, keys: StorageKeys, tmp_path: Path) -> None:
    (folder / "manifest.parquet").write_bytes(b"forged")
    assert verify(str(folder), keys=keys).extra == ["manifest.parquet"]
    assert decrypt(str(folder), str(tmp_path / "to"), keys).left_out == ["manifest.parquet"]


def test_a_shard_that_is_drawn_twice_is_encrypted_anew_and_decrypts_to_the_same(
    folder: Path, keys: StorageKeys, tmp_path: Path
) -> None:
    layout = LAYOUT_FILES if (folder / "images").exists() else LAYOUT_WEBDATASET
    spec, before = spec_of(folder, layout), content_of(folder)
    written(spec, keys)
    after = content_of(folder)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == set(before)
    nonces = [data[:12] for data in (*before.values(), *after.values()) if not data.startswith(b"{")]
    assert len(set(nonces)) == len(nonces)
    data_keys = {Envelope.parse(each["batch.json"]).data_key(keys.key("first")) for each in (before, after)}
    assert len(data_keys) == 1
    decrypt(str(folder), str(tmp_path / "decrypted"), keys)
    assert content_of(tmp_path / "decrypted") == plain(tmp_path, layout)


def test_what_a_killed_worker_left_is_finished_by_another(tmp_path: Path, keys: StorageKeys) -> None:
    spec = spec_of(tmp_path / "out")
    (tmp_path / "out").mkdir()
    storage = encrypted(spec, keys)
    write_shard(storage, spec.shard_job("b", 0), images_of(spec, 0), RENDERER)
    write_shard(storage, spec.shard_job("b", 1), images_of(spec, 1), RENDERER)
    (tmp_path / "out" / ".unikat" / "00001.parquet.enc").unlink()  # killed before the rows
    (tmp_path / "out" / "images" / "00001" / "0000015.png.enc").unlink()
    with pytest.raises(LostShards):
        close_batch(encrypted(spec, keys), spec, range(3), False)
    written(spec, keys)
    decrypt(str(tmp_path / "out"), str(tmp_path / "decrypted"), keys)
    assert content_of(tmp_path / "decrypted") == plain(tmp_path, LAYOUT_FILES)


def test_rows_that_were_encrypted_with_another_data_key_count_as_lost(tmp_path: Path, keys: StorageKeys) -> None:
    spec = spec_of(tmp_path / "out")
    (tmp_path / "out").mkdir()
    write_shard(encrypted(spec, keys), spec.shard_job("b", 0), images_of(spec, 0), RENDERER)
    (tmp_path / "out" / "batch.json").unlink()  # what a store without conditional puts may do to the second of two
    for shard in (1, 2):
        write_shard(encrypted(spec, keys), spec.shard_job("b", shard), images_of(spec, shard), RENDERER)
    with pytest.raises(LostShards) as lost:
        close_batch(encrypted(spec, keys), spec, range(3), False)
    assert lost.value.shards == (0,)
    written(spec, keys)
    assert verify(str(tmp_path / "out"), keys=keys).is_complete


def test_writers_that_come_at_once_have_one_data_key(tmp_path: Path, keys: StorageKeys) -> None:
    for attempt in range(10):
        spec = spec_of(tmp_path / f"out{attempt}")
        (tmp_path / f"out{attempt}").mkdir()
        begin = threading.Barrier(3)

        def run(shard: int, spec: BatchSpec = spec, begin: threading.Barrier = begin) -> None:
            begin.wait()
            write_shard(encrypted(spec, keys), spec.shard_job("b", shard), images_of(spec, shard), RENDERER)

        with ThreadPoolExecutor(3) as threads:
            list(threads.map(run, range(3)))
        close_batch(encrypted(spec, keys), spec, range(3), False)
        assert verify(str(tmp_path / f"out{attempt}"), keys=keys).is_complete


def test_a_folder_has_one_key_and_is_not_shared_with_a_plain_batch(tmp_path: Path, keys: StorageKeys) -> None:
    spec = spec_of(tmp_path / "out")
    folder = written(spec, keys)
    before = content_of(folder)
    with pytest.raises(DestinationRefused, match='encrypted with the key "first", not second'):
        written(spec, keys, "second")
    with pytest.raises(DestinationRefused, match='holds a batch that is encrypted with the key "first"'):
        write(spec)
    with pytest.raises(DestinationRefused, match="holds another batch"):
        written(replace(spec, seed=3), keys)
    assert content_of(folder) == before
    (tmp_path / "plain").mkdir()
    other = spec_of(tmp_path / "plain")
    write(other)
    before = content_of(tmp_path / "plain")
    with pytest.raises(DestinationRefused, match=r"holds not the batch\.json of an encrypted batch"):
        written(other, keys)
    assert content_of(tmp_path / "plain") == before


def test_after_a_rotation_old_batches_are_readable_with_the_file_that_has_both_keys(tmp_path: Path) -> None:
    file = key_file(tmp_path / "keys", "y2025")
    keys = StorageKeys(file)
    old = written(spec_of(tmp_path / "old"), keys, "y2025")
    with file.open("a") as more:
        more.write(new_key_line("y2026"))
    new = written(spec_of(tmp_path / "new", LAYOUT_WEBDATASET), keys, "y2026")  # found without reading the file anew
    assert [verify(str(each), keys=keys).encryption_key for each in (old, new)] == ["y2025", "y2026"]
    assert all(verify(str(each), keys=keys).is_complete for each in (old, new))


def test_a_missing_claim_is_named_as_what_it_is(folder: Path, keys: StorageKeys) -> None:
    (folder / "batch.json").unlink()
    with pytest.raises(NotABatch, match=r"its batch\.json is missing"):
        verify(str(folder), keys=keys)


@pytest.mark.parametrize(
    "claim",
    [
        b"", b"[", b"3", b"[" * 100_000, b'{"encryption": 3}', b'{"encryption": {"key": "a"}}',
        b'{"encryption": {"key": "\\u001b[2J", "wrapped_key": ""}, "details": ""}',
        b'{"encryption": {"key": "first", "wrapped_key": "", "algorithm": ""}, "details": "", "format_version": 1}',
        b'{"encryption": {"key": "first", "wrapped_key": 3}, "details": "?"}',
    ],
)  # fmt: skip
def test_a_claim_that_others_wrote_is_refused(tmp_path: Path, keys: StorageKeys, claim: bytes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "batch.json").write_bytes(claim)
    with pytest.raises(DestinationRefused, match=r"holds not the batch\.json|of another version or changed"):
        written(spec_of(tmp_path / "out"), keys)
    assert content_of(tmp_path / "out") == {"batch.json": claim}


def test_decrypt_wants_an_empty_target_and_an_encrypted_source(folder: Path, keys: StorageKeys, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "mine").write_bytes(b"")
    with pytest.raises(NotEmpty):
        decrypt(str(folder), str(tmp_path / "to"), keys)
    with pytest.raises(ValueError, match="no batch that is encrypted"):
        decrypt(str(tmp_path / "to"), str(tmp_path / "other"), keys)


def test_a_file_that_is_damaged_keeps_no_other_from_being_decrypted(
    folder: Path, keys: StorageKeys, tmp_path: Path
) -> None:
    (path,) = [*folder.glob("images/00001/0000009.png.enc"), *folder.glob("shards/00001.tar.enc")]
    path.write_bytes(path.read_bytes()[:-1])
    done = decrypt(str(folder), str(tmp_path / "to"), keys)
    assert (len(done.damaged), done.files) == (1, len(content_of(folder)) - 2)
    name = str(path.relative_to(folder)).removesuffix(".enc")
    assert set(content_of(tmp_path / "to")) == {each.removesuffix(".enc") for each in content_of(folder)} - {name}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_bucket_is_encrypted_and_decrypted_as_a_folder_is(
    tmp_path: Path, s3: S3, keys: StorageKeys, layout: int
) -> None:
    s3.create_bucket("art")
    spec = spec_of("s3://art/out", layout)
    for shard in range(spec.shard_count):
        write_shard(encrypted(spec, keys), spec.shard_job("b", shard), images_of(spec, shard), RENDERER)
    close_batch(encrypted(spec, keys), spec, range(spec.shard_count), False)
    assert verify("s3://art/out", keys=keys).is_complete
    decrypt("s3://art/out", str(tmp_path / "decrypted"), keys)
    assert content_of(tmp_path / "decrypted") == plain(tmp_path, layout)


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_create_replaces_nothing(tmp_path: Path, s3: S3, where: str) -> None:
    s3.create_bucket("art")
    storage = Storage.at("s3://art/out" if where == "bucket" else f"file://{tmp_path}")
    assert storage.create("a", b"one")
    assert not storage.create("a", b"two")
    assert (storage.read("a"), storage.names("")) == (b"one", ["a"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("first", "line 1"),
        ("first 00", "line 1"),
        (f"A {'0' * 64}", "line 1"),
        (f"# old\n\na {'0' * 64}\na {'1' * 64}", "line 4"),
    ],
)
def test_a_file_of_keys_is_checked_and_not_shown(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "keys").write_text(content)
    (tmp_path / "keys").chmod(0o600)
    with pytest.raises(ValueError, match=complaint) as error:
        read_keys(tmp_path / "keys")
    assert "0000" not in str(error.value)


def test_a_file_of_keys_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = key_file(tmp_path / "keys", "first")
    file.chmod(0o644)
    with pytest.raises(ValueError, match="open to others"):
        StorageKeys(file)
    file.chmod(0o640)
    keys = StorageKeys(file)
    assert keys.key("first").hex() not in f"{keys!r} {keys}"
    os.unlink(file)
    with pytest.raises(NoKey, match="not readable"):
        keys.key("second")


def test_a_damaged_file_is_an_error_of_its_own(folder: Path, keys: StorageKeys) -> None:
    (folder / "contact-sheet.png.enc").write_bytes(b"short")
    with pytest.raises(DamagedFile, match=r"contact-sheet\.png\.enc was changed"):
        EncryptedStorage(Storage.at(f"file://{folder}"), keys).read("contact-sheet.png")
