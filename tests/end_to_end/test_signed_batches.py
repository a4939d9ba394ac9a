"""Content Credentials of batches: signed by the workers that write them, apart from images that stay as they are."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from grpc import RpcError

from tests.end_to_end.shop import Shop, plan, running_shop
from tests.support.batch_calls import difference, tree
from tests.support.content import Signing
from tests.support.processes import Program
from tests.support.tiny_model import write_tiny_bundle
from tests.unikat.batches.drawn import RENDERER, images_of, spec_of
from tests.unikat.test_cli import unikat
from unikat.batches.credentials import file_of, read_credentials, shard_file, sign_shard
from unikat.batches.decrypt import decrypt
from unikat.batches.layout import MEDIA_TYPES
from unikat.batches.storage_keys import NO_KEYS, StorageKeys
from unikat.batches.verify import Picked, pick, storage_of, verify
from unikat.content_credentials.about import Training
from unikat.content_credentials.reading import Report, State, read
from unikat.content_credentials.signing import KeyFileSigner
from unikat.key_file import new_key_line
from unikat.recipes.messages import recipe_message
from unikat.recipes.text import parse_mix
from unikat.v1 import batches_pb2 as pb
from unikat.v1.studio_pb2 import CREDENTIALS_EMBEDDED, CREDENTIALS_SIDECAR

LAYOUTS = {"files": pb.LAYOUT_FILES, "tars": pb.LAYOUT_WEBDATASET}
COUNT = 40


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return Signing.make(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def storage_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("storage") / "keys"
    path.write_text(new_key_line("y2026"))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, signing: Signing, storage_keys: Path) -> Iterator[Shop]:
    """A service, and a worker with the key of the credentials."""
    models, open_folder = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("open")
    write_tiny_bundle(models)
    certificate, key = map(str, signing.files)
    with running_shop(
        models,
        open_folder,
        UNIKAT_STORAGE_KEYS=str(storage_keys),
        UNIKAT_CREDENTIALS_CERT=certificate,
        UNIKAT_CREDENTIALS_KEY=key,
    ) as shop:
        yield shop


def reports_on(folder: Path, count: int, signing: Signing) -> list[tuple[Picked, Report]]:
    """Images of a batch, and what their credentials are worth."""
    picked = pick(str(folder), count, 1)
    sidecars: dict[int, bytes] = {}
    for each in picked:
        sidecars |= read_credentials(storage_of(str(folder), NO_KEYS)[0], file_of(each.file), [each.index])
    return [
        (each, read(each.data, MEDIA_TYPES[each.image_format], sidecars[each.index], signing.root)) for each in picked
    ]


def write_tar(path: Path, entries: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in entries.items():
            (path.parent / name).write_bytes(data)
            tar.add(path.parent / name, name)
            (path.parent / name).unlink()


def entries_of(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]  # files


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_image_has_credentials_and_is_the_same_as_without(shop: Shop, signing: Signing, layout: str) -> None:
    plans = [*plan(COUNT - 1), pb.Plan(count=1, recipe=recipe_message(parse_mix("7:3*0.6,9:1*0.8")))]
    signed = shop.finish(
        f"signed-{layout}", plans=plans, shard_size=16, layout=LAYOUTS[layout], credentials=CREDENTIALS_SIDECAR
    )
    report = verify(str(signed))
    assert (report.is_complete, report.extra) == (True, [])
    found = reports_on(signed, COUNT, signing)
    assert len(found) == COUNT
    for each, said in found:
        assert (said.state, said.is_trusted) == (State.VALID, True), said.failures
        assert said.about is not None
        assert said.about.renderer is not None
        assert said.about.artwork_id == each.id == said.about.digest[:8].hex()
        assert said.about.renderer.mark == each.mark
        assert said.about.recipe or (said.about.seed, said.about.index) == (each.seed, each.index)
    assert [each.index for each, _ in found if each.recipe and "," in each.recipe] == [COUNT - 1]
    plain = shop.finish(f"plain-{layout}", plans=plans, shard_size=16, layout=LAYOUTS[layout])
    for path in (signed / "credentials").iterdir():
        path.unlink()
    (signed / "credentials").rmdir()
    assert difference(tree(signed), tree(plain)) == ["batch.json"]


def test_credentials_that_are_missing_damaged_or_of_another_image_are_told(
    shop: Shop, signing: Signing, tmp_path: Path
) -> None:
    folder = shop.finish("told", plans=plan(32), shard_size=16, credentials=CREDENTIALS_SIDECAR)
    first, second = (folder / "credentials" / f"{shard:05}.tar" for shard in range(2))
    entries = entries_of(first)
    assert sorted(entries) == [f"{index:07}.c2pa" for index in range(16)]

    def run(*words: str, code: int) -> str:
        done = unikat("batch", "verify", str(folder), *words, cwd=tmp_path, NO_COLOR="1")
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    root = tmp_path / "root"
    root.write_bytes(signing.root)
    trusted = run("--credentials", "32", "--trust", str(root), code=0)
    assert "Content Credentials of 32 images of 32 hold, signed by" in trusted
    assert "authority" not in trusted
    assert "of no authority that you trust" in run("--credentials", "2", code=0)
    assert "--trust" in run("--trust", str(root), code=2)
    wrong = tmp_path / "no-root"
    wrong.write_text("no certificate")
    assert "--trust" in run("--credentials", "2", "--trust", str(wrong), code=2)

    names = list(entries)
    swapped = dict(zip(names, [entries[names[1]], entries[names[0]], *list(entries.values())[2:]], strict=True))
    data = bytearray(entries[names[5]])
    data[len(data) // 2] ^= 1
    write_tar(first, swapped | {names[5]: bytes(data)})
    told = run("--credentials", "32", code=1)
    assert "Content Credentials of 29 images of 32 hold" in told
    assert all(f"image {index}: " in told for index in (0, 1, 5))

    write_tar(first, {name: data for name, data in entries.items() if name != names[3]})
    assert "00000.tar (image 3): the image's credentials are missing" in run(code=1)
    first.write_bytes(b"no tar")
    assert "00000.tar: not the credentials of its shard" in run(code=1)
    told = run("--credentials", "32", code=1)
    assert "of 16 images of 32 hold" in told
    assert "00000.tar: not the credentials of its shard" in told, "the report is told all the same"
    write_tar(first, entries)
    second.unlink()
    assert "00001.tar: the file is missing, with 16 credentials" in run(code=1)


def test_encrypted_they_are_nobodys_and_decrypted_they_are_there(
    shop: Shop, signing: Signing, storage_keys: Path, tmp_path: Path
) -> None:
    folder = shop.finish("sealed", plans=plan(8), credentials=CREDENTIALS_SIDECAR, encryption_key="y2026")
    keys = StorageKeys(storage_keys)
    assert verify(str(folder), keys=keys).is_complete
    assert not any(b"c2pa" in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    decrypt(str(folder), str(tmp_path / "plain"), keys)
    assert all(said.state == State.VALID for _, said in reports_on(tmp_path / "plain", 8, signing))


def test_a_worker_without_a_key_leaves_the_batch_to_others_and_says_why(shop: Shop) -> None:
    for worker in list(shop.stack.workers):
        shop.stack.kill(worker)
    without = {name: value for name, value in shop.stack.env.items() if not name.startswith("UNIKAT_CREDENTIALS")}
    stranger = Program("unikat_worker", env=without)
    try:
        stranger.wait_for_line("worker ready")
        batch = shop.create("waiting", plans=plan(8), credentials=CREDENTIALS_SIDECAR)
        waiting = shop.calls.wait(batch.id, lambda found: found.HasField("pause"))
        assert "no key to sign Content Credentials with (--credentials-cert)" in waiting.pause.reason
        shop.stack.start_worker()
        shop.calls.finish(batch.id)
    finally:
        stranger.kill()
    assert verify(str(shop.open_folder / "waiting")).is_complete


def test_credentials_in_the_files_are_refused_by_name(shop: Shop) -> None:
    with pytest.raises(RpcError, match=r"credentials.*CREDENTIALS_SIDECAR"):
        shop.create("embedded", plans=plan(1), credentials=CREDENTIALS_EMBEDDED)


def test_a_tar_that_claims_more_than_it_has_is_not_believed(shop: Shop, tmp_path: Path) -> None:
    folder = shop.finish("huge", plans=plan(2), credentials=CREDENTIALS_SIDECAR)
    data = tmp_path / "sparse"
    with data.open("wb") as file:
        file.truncate(4 << 30)
    path = folder / "credentials" / "00000.tar"
    subprocess.run(
        ["tar", "--sparse", "-cf", path, f"--transform=s/sparse/{0:07}.c2pa/", "-C", tmp_path, "sparse"], check=True
    )
    assert path.stat().st_size < 1 << 20
    assert verify(str(folder)).problem_count == 2, "it has no credentials of any image"
    storage, _ = storage_of(str(folder), NO_KEYS)
    assert read_credentials(storage, "credentials/00000.tar", [0, 1]) == {}


def test_what_is_signed_is_not_signed_again_at_the_next_try(signing: Signing, tmp_path: Path) -> None:
    job, signed = spec_of(tmp_path).shard_job("b", 0), dict[int, bytes]()
    signer, images = KeyFileSigner(*signing.files), images_of(spec_of(tmp_path), 0)
    tries = sign_shard(job, images, RENDERER, signer, Training.NOT_ALLOWED, signed)
    assert [next(tries), next(tries)] == [0, 1]  # the authority of time stamps fails at the third
    first = dict(signed)
    assert list(sign_shard(job, images, RENDERER, signer, Training.NOT_ALLOWED, signed)) == list(range(2, 8))
    assert {index: signed[index] for index in first} == first
    with tarfile.open(fileobj=BytesIO(shard_file(signed))) as tar:
        assert tar.getnames() == [f"{index:07}.c2pa" for index in range(8)]
