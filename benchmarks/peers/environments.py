"""A virtual environment for each contender, outside the repository, with pinned packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

CACHE_VARIABLE: Final = "UNIKAT_BENCH_CACHE"
# What the work itself needs, the same everywhere; NumPy is left to what the contender can live with.
COMMON: Final = ("onnxruntime==1.32.0", "pillow==13.0.0", "isal==1.9.1")


class NotInstalledError(Exception):
    """A contender's packages cannot be installed here; the message is pip's."""


def cache_folder() -> Path:
    """$UNIKAT_BENCH_CACHE, else ~/.cache/unikat-bench."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "unikat-bench")


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """The folder of programs (`bin`) of an environment with these packages, built where it is missing or of others.

    Raises NotInstalledError.
    """
    folder = cache_folder() / "environments" / name
    wanted = "\n".join(sorted((*COMMON, *packages))) + "\n"
    marker = folder / "installed.txt"
    if not marker.is_file() or marker.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"installing {', '.join(packages)} into {folder} ...", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, symlinks=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        result = subprocess.run([*command, *COMMON, *packages], capture_output=True, text=True)
        if result.returncode:
            raise NotInstalledError(last_lines(result.stderr))
        marker.write_text(wanted, encoding="utf-8")
    return folder / "bin"


def last_lines(text: str, count: int = 3) -> str:
    """The last lines that are not empty, as one."""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-count:])[-600:]
