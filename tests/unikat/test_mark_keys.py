"""Keys of watermarks: made, added, read, and refused by line where a file is none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unikat.cli import app
from unikat.key_file import add_key
from unikat.mark_keys import OPEN, check_key_id, read_mark_keys


def test_without_a_file_there_is_the_key_that_everybody_knows() -> None:
    assert list(read_mark_keys(None)) == [OPEN]
    assert len(read_mark_keys(None)[OPEN]) == 32


def test_keys_are_added_and_those_before_stay(tmp_path: Path) -> None:
    for name in ("shop-2026", "shop-2027"):
        done = CliRunner().invoke(app, ["keys", "mark", name, "--keys", str(tmp_path / "keys")])
        assert done.exit_code == 0, done.output
        assert f"--mark {name}" in done.output
    file = tmp_path / "keys" / "marks"
    keys = read_mark_keys(file)
    assert list(keys) == [OPEN, "shop-2026", "shop-2027"]
    assert len(set(keys.values())) == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("id", ["open", "none", "", "Shop", "a b", "x" * 33, "-a", "shop-2026"])
def test_what_is_no_name_of_a_new_key_is_refused_and_the_file_stays(tmp_path: Path, id: str) -> None:
    file = tmp_path / "marks"
    add_key(file, "shop-2026")
    before = file.read_text()
    done = CliRunner().invoke(app, ["keys", "mark", "--keys", str(tmp_path), "--", id])
    assert done.exit_code != 0
    assert file.read_text() == before


@pytest.mark.parametrize(
    "line", ["shop", "shop 12", f"shop {'g' * 64}", f"open {'0' * 64}", f"none {'0' * 64}", "ü " + "0" * 64]
)
def test_a_line_that_is_no_key_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "marks"
    file.touch(0o600)
    file.write_text(f"# keys of the shop\n\nfirst {'1' * 64}\n{line}")
    with pytest.raises(ValueError, match=r"line 4: must be the id of a key|called (none|open), which stands"):
        read_mark_keys(file)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "marks"
    add_key(file, "shop")
    file.chmod(0o644)
    with pytest.raises(ValueError, match=r"open to others .mode 0644.: chmod 600"):
        read_mark_keys(file)


def test_a_file_whose_last_line_does_not_end_keeps_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "marks"
    file.touch(0o600)
    file.write_text(f"first {'1' * 64}")
    add_key(file, "second")
    assert list(read_mark_keys(file)) == [OPEN, "first", "second"]


def test_an_id_is_what_a_setting_may_say() -> None:
    assert [check_key_id(id) for id in ("open", "none", "a-1")] == ["open", "none", "a-1"]
    with pytest.raises(ValueError, match='"none" stands for no marks; not'):
        check_key_id("Open key")
