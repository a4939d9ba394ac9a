"""The Lua scripts, by name. They are evaluated by digest: old and new processes each use their own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, TypeAlias

Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = tuple[Argument, ...]

# `#!lua`: a server that is full refuses a script whole, instead of one write of it. What frees memory is let through.
_FREES: Final = ("release", "beat", "cancel_batch", "drop_jobs", "batch_bytes")
_READS: Final = ("waiting",)  # answered by a server that is full, too
_FLAGS: Final = dict.fromkeys(_FREES, " flags=allow-oom") | dict.fromkeys(_READS, " flags=no-writes")


@dataclass(frozen=True)
class Script:
    """A script's source and the digest by which Redis knows it."""

    text: str
    sha: str

    def command(self, *arguments: Argument) -> Command:
        """The command that runs it. No keys are declared: most follow from what it finds."""
        return ("EVALSHA", self.sha, 0, *arguments)

    @property
    def load(self) -> Command:
        """The command that makes it known."""
        return ("SCRIPT", "LOAD", self.text)


@cache
def script(name: str) -> Script:
    """The script of a file in `lua/`."""
    folder = files("unikat.queue") / "lua"
    parts = [f"#!lua{_FLAGS.get(name, '')}", *((folder / f"{each}.lua").read_text() for each in ("common", name))]
    text = "\n".join(parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


HOT: Final = ("enqueue", "take", "publish", "release")  # what a connection makes known when it is opened
