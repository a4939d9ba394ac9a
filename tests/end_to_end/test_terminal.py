"""What others wrote into a batch is shown on a terminal, and does nothing there."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.shell import Shell, open_shell
from unikat import Studio

TITLE = "\x1b]0;owned\x07"
CLEAR = "\x1b[2J\x9b2J\r"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with open_shell(tmp_path_factory.mktemp("terminal")) as shell:
        yield shell


def on_a_terminal(shell: Shell, *arguments: str) -> str:
    """All that `unikat <arguments>` writes to a terminal, on which it draws its colours and bars."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"UNIKAT_TARGET": shell.target, "TERM": "xterm-256color", "COLUMNS": "200"}
    command = [sys.executable, "-m", "unikat.cli", *arguments]
    with subprocess.Popen(command, cwd=shell.home, env=environment, stdout=theirs, stderr=theirs) as program:
        os.close(theirs)
        seen = b""
        try:
            while data := os.read(ours, 65536):
                seen += data
        except OSError:  # its end, on Linux
            pass
        os.close(ours)
    assert program.returncode is not None
    return seen.decode(errors="replace")


def test_labels_do_nothing_to_a_terminal(shell: Shell) -> None:
    labels = {"plain": "word", TITLE: f"a{CLEAR}b"}
    with Studio(shell.target) as studio:
        id = studio.create_batch("tiny", to=Path(shell.home, "out", "nasty"), count=300, labels=labels).id
    for arguments in (("watch", id), ("show", id), ("list",), ("list", "--label", f"{TITLE}={CLEAR}")):
        seen = on_a_terminal(shell, "batch", *arguments)
        assert seen, arguments
        for raw in ("\x1b]0", "\x07", "\x1b[2J", "\x9b", "a\r"):
            assert raw not in seen, arguments
    assert r"a\x1b[2J\x9b2J" in on_a_terminal(shell, "batch", "show", id)
    assert r"\x1b]0;owned" in on_a_terminal(shell, "generate", f"tiny{TITLE}"), "an error's text, too"
