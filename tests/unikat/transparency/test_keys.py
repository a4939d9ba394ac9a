"""Keys of the log: made, added, read, and told of by what verifies them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from unikat.cli import app
from unikat.transparency import Checkpoint, NoteError, VerifierKey
from unikat.transparency.keys import read_signing_keys
from unikat.transparency.merkle import EMPTY_ROOT

ORIGIN = "registry.example/unikat"


def made(folder: Path, *args: str) -> Result:
    return CliRunner().invoke(app, ["keys", "log", "--keys", str(folder), *args], env={"COLUMNS": "40"})


def test_every_key_of_the_file_signs_and_what_verifies_it_is_printed(tmp_path: Path) -> None:
    for id in ("log-2026", "log-2027"):
        done = made(tmp_path, id, "--origin", ORIGIN)
        assert done.exit_code == 0, done.output
    file = tmp_path / "log"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    keys = read_signing_keys(file, ORIGIN)
    verifiers = [VerifierKey.parse(line) for line in done.output.splitlines() if line.startswith(ORIGIN)]
    assert verifiers == [key.verifier for key in keys]
    assert len(set(verifiers)) == 2
    signed = Checkpoint(ORIGIN, 0, EMPTY_ROOT).sign(keys)
    for verifier in verifiers:
        assert Checkpoint.open(signed, verifier).size == 0


@pytest.mark.parametrize("args", [("Log", "--origin", ORIGIN), ("log", "--origin", "a b"), ("log",)])
def test_what_is_no_name_is_refused_and_nothing_is_written(tmp_path: Path, args: tuple[str, ...]) -> None:
    assert made(tmp_path, *args).exit_code != 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_keys_or_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.touch(0o600)
    with pytest.raises(ValueError, match="has no key: unikat keys log"):
        read_signing_keys(file, ORIGIN)
    made(tmp_path, "a", "--origin", ORIGIN)
    with pytest.raises(NoteError, match="a name has"):
        read_signing_keys(file, "a b")
