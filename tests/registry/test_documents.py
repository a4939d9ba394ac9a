"""The program of docs/provenance.md that verifies a proof without Unikat."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.registry.conftest import KEY
from tests.registry.test_log import fill, leaf
from tests.support.processes import ROOT
from unikat_registry.log import Log

PROGRAM = re.compile(r"<!-- a test runs this -->\n\n```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("index", [0, 4, 6])
def test_the_program_verifies_what_the_log_proves_and_nothing_else(
    engine: Engine, log: Log, tmp_path: Path, index: int
) -> None:
    fill(engine, log, 7)
    (program,) = PROGRAM.findall((ROOT / "docs" / "provenance.md").read_text(encoding="utf-8"))
    assert "unikat" not in program
    (tmp_path / "proof.json").write_text(log.prove(index).dumps(), encoding="utf-8")
    for entry, code, said in ((leaf(index), 0, f"entry {index} of 7"), (b"another", 1, "the entry is not in this log")):
        (tmp_path / "entry").write_bytes(entry)
        command = [sys.executable, "-P", "-c", program, "entry", "proof.json", str(KEY.verifier)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, (done.stdout + done.stderr).strip()) == (code, said)
