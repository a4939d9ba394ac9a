"""`unikat batch watch` and what it lives through: interrupts, kills, pauses, failures, narrow terminals."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.end_to_end.shell import Shell, open_shell
from tests.support.processes import eventually
from unikat import Studio


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with open_shell(tmp_path_factory.mktemp("batches")) as shell:
        yield shell


def test_interrupting_the_watch_leaves_the_batch_running(shell: Shell) -> None:
    with shell.endless("out/interrupted") as id:
        with shell.program("watch", id) as watching:
            watching.wait_for_line("Drawing slow@1")
            watching.process.send_signal(signal.SIGINT)
            assert watching.wait() == 130
        assert f"Batch {id} goes on without you." in watching.output
        assert f"unikat batch cancel {id}" in watching.output
        assert "Traceback" not in watching.output
        with Studio(shell.target) as studio:
            before = studio.batch(id)
            assert before.state == "RUNNING"
            eventually(lambda: studio.batch(id).drawn > before.drawn)

        assert "goes on" not in shell.run("retry", id, code=1)
        said = shell.run("cancel", id)
        assert f"Batch {id} is cancelled; " in said
        watched = shell.run("watch", id, code=1)
        assert f"Batch {id} was cancelled; " in watched
        verified = shell.run("verify", id, code=1)
        assert "every byte as the manifest says" in verified
        assert "is incomplete" in verified
    shell.run("delete", id, "--yes")


def test_watching_survives_a_killed_service(shell: Shell) -> None:
    id = shell.create("slow", "-n", "4000", "--to", "out/killed", "--shard-size", "32", "--owner", "killed")
    with shell.program("watch", id) as watching:
        watching.wait_for_line("Drawing slow@1")
        assert shell.stack.service is not None
        shell.stack.service.kill()
        shell.stack.start_service()
        assert watching.wait(60) == 0
    assert "4,000 images of slow@1 in " in watching.output


def test_a_pause_is_explained_and_passes(shell: Shell) -> None:
    folder = shell.home / "out" / "paused"
    folder.write_text("in the way")  # a file where the folder has to be
    id = shell.create("tiny", "-n", "40", "--to", "out/paused", "--shard-size", "16")
    with shell.program("watch", id) as watching:
        watching.wait_for_line("Paused: 0 of 40 images, paused for .*out/paused.* goes on by itself", 30)
        assert "PAUSED" in shell.run("list")
        assert "waiting" in shell.run("show", id)
        folder.unlink()
        assert watching.wait(60) == 0
    assert "40 images of tiny@1 in " in watching.output


def test_what_failed_is_named_and_drawn_again(shell: Shell, tmp_path: Path) -> None:
    (shell.home / "out" / "link").symlink_to(tmp_path)  # leads out of what is open: every shard is refused
    id = shell.create("tiny", "-n", "30", "--to", "out/link", "--shard-size", "16")
    said = shell.run("watch", id, code=1)
    assert f"batch {id} failed: 30 of 30 images could not be drawn" in said
    assert "images 16 to 29: " in said
    assert "symbolic link" in said
    assert f"unikat batch retry {id}" in said
    assert "FAILED" in shell.run("show", id)
    (shell.home / "out" / "link").unlink()
    said = shell.run("retry", id)
    assert "Drawn again: 30 images of 30" in said
    assert "images 0 to 15, which failed: " in said
    shell.run("watch", id)
    assert "30 of 30 images" in shell.run("verify", id)


def test_on_a_terminal_the_progress_fits_its_width(shell: Shell) -> None:
    with shell.endless("out/wide") as id, watch_on_a_terminal(shell, id) as (watching, ours):
        shown = shown_until(ours, r"Drawing slow@1 .*/100,000 .* images/s, .* left")
        watching.send_signal(signal.SIGINT)
        shown += shown_until(ours, "goes on without you")
    assert watching.returncode == 130
    assert max(map(len, re.split(r"[\r\n]+", shown.partition("goes on without you")[0]))) <= 80


@contextmanager
def watch_on_a_terminal(shell: Shell, id: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process that watches, 80 columns wide, and our end of its terminal; it is waited for at the end."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "unikat.cli", "batch", "watch", id, "--target", shell.target]
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    watching = subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    try:
        yield watching, ours
        read_to_end(ours)  # or it could not write its last words
        watching.wait(20)
    finally:
        watching.kill()
        watching.wait()
        os.close(ours)


def shown_until(descriptor: int, pattern: str, deadline: float = 60.0) -> str:
    """What a terminal shows up to `pattern`. Raises AssertionError if that is not shown within `deadline` seconds."""
    shown, until = "", time.monotonic() + deadline
    while not re.search(pattern, shown):
        readable, _, _ = select.select([descriptor], [], [], max(0.0, until - time.monotonic()))
        assert readable, f"not shown within {deadline} s: {pattern}\n{shown}"
        assert time.monotonic() < until, f"not shown within {deadline} s: {pattern}\n{shown[-2000:]}"
        shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(descriptor, 65536).decode(errors="replace"))
    return shown


def read_to_end(descriptor: int) -> None:
    """Until the other end of a terminal is closed."""
    with suppress(OSError):  # how Linux says that
        while os.read(descriptor, 65536):
            pass
