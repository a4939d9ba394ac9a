"""`unikat batch` at a terminal of a stack's user."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program
from tests.support.tiny_model import write_tiny_bundle
from tests.unikat.test_cli import unikat
from unikat import Studio


class Shell:
    """A terminal, connected to a stack with the models `tiny` and `slow`."""

    def __init__(self, stack: Stack, home: Path) -> None:
        """`home` is the current folder; `out` in it is open to batches."""
        self.stack = stack
        self.home = home
        self.target = stack.target

    def run(self, *arguments: str, code: int = 0) -> str:
        """`unikat batch <arguments>`; both of its outputs."""
        done = unikat("batch", *arguments, cwd=self.home, UNIKAT_TARGET=self.target, NO_COLOR="1")
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def create(self, *arguments: str) -> str:
        """The id of a new batch."""
        return str(json.loads(self.run("create", *arguments, "--json"))["id"])

    def finished(self, to: str, *arguments: str) -> Path:
        """The folder of a batch that has succeeded."""
        self.run("watch", self.create("tiny", "--to", to, *arguments))
        return self.home / to

    def program(self, *arguments: str) -> Program:
        """The same as a process that goes on."""
        return Program("unikat.cli", "batch", *arguments, env={"UNIKAT_TARGET": self.target})

    @contextmanager
    def endless(self, to: str) -> Iterator[str]:
        """The id of a batch that no test waits for; called off in the end, so that the worker is free again."""
        words = ("-n", "100000", "--to", to, "--shard-size", "16", "--owner", Path(to).name)
        id = self.create("slow", *words)
        try:
            yield id
        finally:
            with Studio(self.target) as studio:
                studio.cancel_batch(id)


@contextmanager
def open_shell(folder: Path) -> Iterator[Shell]:
    """A shell in `folder`, with a stack of its own."""
    home, models = folder / "home", folder / "models"
    (home / "out").mkdir(parents=True)
    write_tiny_bundle(models)
    write_tiny_bundle(models, "slow", work=1000)
    with running_stack(models, UNIKAT_DESTINATIONS=str(home / "out")) as stack:
        yield Shell(stack, home)
