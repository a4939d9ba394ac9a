"""Encrypted batches by real workers: a key that is missing, a worker that is killed, and the files decrypted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc import RpcError

from tests.end_to_end.shop import Shop, plan, running_shop
from tests.support.batch_calls import difference, tree
from tests.support.processes import Program
from tests.support.tiny_model import write_tiny_bundle
from tests.unikat.test_cli import unikat
from unikat.batches.decrypt import decrypt
from unikat.batches.storage_keys import StorageKeys
from unikat.batches.verify import verify
from unikat.key_file import new_key_line
from unikat.v1 import batches_pb2 as pb

LAYOUTS = {"files": pb.LAYOUT_FILES, "tars": pb.LAYOUT_WEBDATASET}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workers' file of keys."""
    path: Path = tmp_path_factory.mktemp("keys") / "storage"
    path.write_text(new_key_line("y2026"))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, file: Path) -> Iterator[Shop]:
    """A service and a worker that has the key."""
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models, work=200)
    open_folder = tmp_path_factory.mktemp("open")
    with running_shop(models, open_folder, UNIKAT_STORAGE_KEYS=str(file), UNIKAT_LEASE_S="1") as shop:
        yield shop


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_workers_and_one_killed_leave_what_decrypts_to_the_plain_batch(
    shop: Shop, file: Path, tmp_path: Path, layout: str
) -> None:
    fields: dict[str, Any] = {"plans": plan(1000), "shard_size": 32, "layout": LAYOUTS[layout]}
    shop.stack.start_worker().wait_for_line("worker ready")
    batch = shop.create(f"sealed-{layout}", encryption_key="y2026", **fields)
    assert batch.encryption_key == "y2026"
    shop.calls.wait(batch.id, lambda found: found.drawn_count > 0)
    shop.stack.kill(shop.stack.workers[0])
    ended = shop.calls.finish(batch.id)
    folder = shop.open_folder / f"sealed-{layout}"
    assert ended.manifest == f"file://{folder}/manifest.parquet.enc"
    report = verify(str(folder), keys=StorageKeys(file))
    assert report.is_complete, report
    assert report.extra == []
    decrypt(str(folder), str(tmp_path / "decrypted"), StorageKeys(file))
    plain = shop.finish(f"plain-{layout}", **fields)
    assert difference(tree(tmp_path / "decrypted"), tree(plain)) == []


def test_a_worker_without_the_key_writes_nothing_and_says_which_it_is(shop: Shop, file: Path) -> None:
    shop.stack.start_worker().wait_for_line("worker ready")
    while len(shop.stack.workers) > 1:
        shop.stack.kill(shop.stack.workers[0])
    batch = shop.create("waiting", plans=plan(100), encryption_key="y2027")
    waiting = shop.calls.wait(batch.id, lambda found: found.HasField("pause"))
    assert waiting.state == pb.Batch.STATE_RUNNING
    assert 'no storage key "y2027" here (there is y2026): add its line to the file of the keys' in waiting.pause.reason
    assert not (shop.open_folder / "waiting").exists()
    with file.open("a") as more:
        more.write(new_key_line("y2027"))
    other = Program("unikat_worker", env=shop.stack.env | {"UNIKAT_STORAGE_KEYS": str(file)})
    try:
        shop.calls.finish(batch.id)
    finally:
        other.kill()
    assert verify(str(shop.open_folder / "waiting"), keys=StorageKeys(file)).is_complete


def test_a_worker_with_another_key_of_that_name_leaves_the_batch_to_others(
    shop: Shop, file: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(new_key_line("y2026"))
    wrong.chmod(0o600)
    batch = shop.create("begun", plans=plan(2000), shard_size=64, encryption_key="y2026")
    shop.calls.wait(batch.id, lambda found: found.drawn_count > 0)
    for worker in list(shop.stack.workers):
        shop.stack.kill(worker)  # before the stranger begins, the others could have drawn all of it
    stranger = Program("unikat_worker", env=shop.stack.env | {"UNIKAT_STORAGE_KEYS": str(wrong)})
    try:
        stranger.wait_for_line('is left to other workers: .*the storage key "y2026" here does not open')
        shop.stack.start_worker()
        shop.calls.finish(batch.id)
    finally:
        stranger.kill()
    assert verify(str(shop.open_folder / "begun"), keys=StorageKeys(file)).is_complete


def test_a_file_of_keys_that_is_wrong_keeps_a_worker_from_starting(shop: Shop, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("first 00")
    bad.chmod(0o600)
    worker = Program("unikat_worker", env=shop.stack.env | {"UNIKAT_STORAGE_KEYS": str(bad)})
    try:
        worker.wait_for_line("--storage-keys: .*line 1: must be the id of a key")
        assert worker.process.wait(10) != 0
    finally:
        worker.kill()


def test_an_id_that_cannot_be_one_is_refused_with_its_field(shop: Shop) -> None:
    with pytest.raises(RpcError, match="encryption_key"):
        shop.create("refused", plans=plan(1), encryption_key="Two words")


def test_at_the_command_line(shop: Shop, file: Path, tmp_path: Path) -> None:
    def run(*words: str, code: int = 0) -> str:
        done = unikat(*words, cwd=tmp_path, UNIKAT_TARGET=shop.stack.target, NO_COLOR="1")
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    keys, key, to = ("--keys", str(file.parent)), ("--storage-keys", str(file)), str(shop.open_folder / "typed")
    assert f"--storage-keys {file}" in run("keys", "storage", "mine", *keys)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "has a key mine already" in run("keys", "storage", "mine", *keys, code=2)
    words = ("-n", "40", "--shard-size", "16", "--to", to, "--encrypt", "mine")
    run("batch", "create", "tiny", *words, "--watch")
    said = run("batch", "verify", to, "--redraw", "5", *key)
    assert "40 of 40 images, every byte as the manifest says" in said
    assert "encrypted with mine" in said
    assert "5 images drawn again, every byte the same" in said
    assert 'is encrypted: no storage key "mine" here' in run("batch", "verify", to, code=1)
    assert "42 files" in run("decrypt", to, "clear", *key)
    assert verify(str(tmp_path / "clear")).is_complete
    assert "is not empty" in run("decrypt", to, "clear", *key, code=2)
    (shop.open_folder / "typed/images/00000/0000003.png.enc").write_bytes(b"x")
    assert "1 file cannot be decrypted" in run("decrypt", to, "other", *key, code=1)
    assert "(image 3): " in run("batch", "verify", to, *key, code=1)
