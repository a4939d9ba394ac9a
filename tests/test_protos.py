from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.protos import COMMENTS, ROOT, generate

BUF = Path(sys.executable).with_name("buf")


def test_the_committed_stubs_are_what_the_protos_generate(tmp_path: Path) -> None:
    generated = generate(tmp_path)
    committed = sorted([*(path.relative_to(ROOT) for path in ROOT.glob("unikat/*/*_pb2*.py*")), COMMENTS])
    assert generated == committed
    for path in generated:
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), f"{path}: run `make protos`"


@pytest.mark.parametrize("edit", [("uint32 count = 3;", "uint32 count = 30;"), ("rpc GetModel(", "rpc FetchModel(")])
def test_a_breaking_change_of_the_contract_is_caught(tmp_path: Path, edit: tuple[str, str]) -> None:
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    against = str(ROOT / "protos")
    subprocess.run([BUF, "breaking", "protos", "--against", against], cwd=tmp_path, check=True)
    studio = tmp_path / "protos" / "unikat" / "v1" / "studio.proto"
    text = studio.read_text()
    assert edit[0] in text
    studio.write_text(text.replace(*edit, 1))
    broken = subprocess.run(
        [BUF, "breaking", "protos", "--against", against], cwd=tmp_path, capture_output=True, text=True
    )
    assert broken.returncode == 100, broken.stderr
