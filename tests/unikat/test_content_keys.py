"""`unikat keys content`: a root and a leaf that sign valid credentials, in files that nobody else reads."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from tests.support.content import FIRST, picture
from unikat.cli import app
from unikat.content_credentials.reading import State, read
from unikat.content_credentials.signing import KeyFileSigner, embed


def keys(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", "content", "--keys", str(folder), *arguments])


def signed_by(folder: Path) -> bytes:
    signer = KeyFileSigner(folder / "content/sign.crt", folder / "content/sign.key")
    return embed(picture("image/png"), "image/png", FIRST, signer)


def test_the_keys_sign_and_their_root_is_what_readers_trust(tmp_path: Path) -> None:
    done = keys(tmp_path, "--name", "Anna's studio")
    assert done.exit_code == 0
    assert "--credentials-cert" in done.output
    assert "c2pa.org/conformance" in done.output
    report = read(signed_by(tmp_path), "image/png", anchors=(tmp_path / "content/ca.crt").read_bytes())
    assert (report.state, report.is_trusted, report.signer) == (State.VALID, True, "Anna's studio")
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.key")}
    assert modes == {"content/sign.key": 0o600, "content-authority/ca.key": 0o600}


def test_another_certificate_is_of_the_same_root(tmp_path: Path) -> None:
    keys(tmp_path)
    before, root = signed_by(tmp_path), (tmp_path / "content/ca.crt").read_bytes()
    keys(tmp_path, "--name", "Another")
    assert (tmp_path / "content/ca.crt").read_bytes() == root
    reports = [read(data, "image/png", anchors=root) for data in (before, signed_by(tmp_path))]
    assert [(report.is_trusted, report.signer) for report in reports] == [
        (True, "Unikat (development)"),
        (True, "Another"),
    ]


def test_a_name_that_no_certificate_can_have_is_refused(tmp_path: Path) -> None:
    assert keys(tmp_path, "--name", "x" * 65).exit_code != 0
    assert keys(tmp_path, "--name", "").exit_code != 0
    assert not any(tmp_path.iterdir())
