"""`make release`: wheel, sdist, models, images with their contents, notes and checksums; and the wheel tried for real.

Everything is built from what git has at HEAD, by the tools of requirements/build.txt, which pip installs by hash.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from gzip import GzipFile
from pathlib import Path
from typing import Final

from deploy.engine import Engine, EngineError

ROOT: Final = Path(__file__).resolve().parents[1]
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
SUMS: Final = "SHA256SUMS"
NOTES: Final = "NOTES.md"
TAGS: Final = "images.txt"
WRITTEN: Final = (SUMS, NOTES, TAGS, "unikat-")  # how the names of all files begin
SBOM: Final = "/opt/unikat/sbom.cdx.json"  # in an image
# Image -> its Dockerfile, and the extra that it is built with, where there is a choice.
IMAGES: Final = {
    "service": ("service", ""),
    "worker": ("worker", "worker"),
    "worker-gpu": ("worker", "worker-gpu"),
    "registry": ("registry", ""),
    "gallery": ("gallery", ""),
    "models": ("models", ""),
    "valkey": ("valkey", ""),
    "postgres": ("postgres", ""),
}
_BARE: Final = ("models", "valkey", "postgres")  # nothing of ours is installed in these, so they have no SBOM of ours
# Of a bundle what only training reads: a release draws.
_LEFT_OUT: Final = "training.safetensors"
_DRAWN: Final = "fashion-mnist"  # the smallest model
_QUIET: Final = ("--quiet", "--disable-pip-version-check")


class ReleaseError(RuntimeError):
    """A release cannot be made; the message says why."""


def version() -> str:
    """Of the distribution."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return found


@contextmanager
def checked_out() -> Iterator[Path]:
    """A folder with what git has at HEAD, and nothing that only lies about; gone after the block."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="unikat-release-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def build(source: Path, out: Path) -> list[Path]:
    """The wheel and the sdist, in `out`. The same commit gives the same bytes."""
    with tempfile.TemporaryDirectory(prefix="unikat-tools-") as tools:
        python = _environment(sys.executable, Path(tools))
        _run(python, "-m", "pip", "install", *_QUIET, "--require-hashes", "-r", str(source / "requirements/build.txt"))
        epoch = _run("git", "-C", str(ROOT), "log", "-1", "--format=%ct").strip()
        _run(
            python, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(out.resolve()), folder=source,
            SOURCE_DATE_EPOCH=epoch,
        )  # fmt: skip
    return sorted(out.glob(f"unikat-{version()}*"))


def pack_models(source: Path, out: Path) -> Path:
    """The newest version of each model, as `--models` takes them, without what only training needs."""
    path = out / f"unikat-models-{version()}.tar.gz"
    with (
        path.open("wb") as target,
        GzipFile("", "wb", fileobj=target, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(folder.name for folder in (source / "models").iterdir() if folder.is_dir()):
            newest = max((source / "models" / name).iterdir(), key=lambda folder: int(folder.name))
            for file in sorted(each for each in newest.rglob("*") if each.is_file() and each.name != _LEFT_OUT):
                archive.add(file, str(file.relative_to(source)), filter=_anonymous)
    return path


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without whose it is, and when it was checked out."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


def notes(changelog: str, of: str) -> str:
    """The changelog's section of a version; of one that it does not name yet, what is unreleased.

    Raises ReleaseError where there is neither.
    """
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL))
    titles = [title for title in sections if title == of or title.startswith(f"{of} ")] or ["Unreleased"]
    text = sections.get(titles[0], "").strip()
    if not text:
        raise ReleaseError(f"CHANGELOG.md says nothing of {of}")
    return f"# Unikat {of}\n\n{text}\n"


def pythons() -> dict[str, str]:
    """The Pythons that are here, of those that are supported: "3.12" to its program."""
    found = {number: next((each for each in _named(number) if _is_python(each, number)), "") for number in PYTHONS}
    return {number: program for number, program in found.items() if program}


def _named(number: str) -> Iterator[str]:
    """Programs that may be the Python of a version: this one, that of the path, pyenv's."""
    yield sys.executable
    yield f"python{number}"
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob(f"versions/{number}.*/bin/python{number}")))


def _is_python(program: str, number: str) -> bool:
    """Whether it is there and runs: a launcher of pyenv's may be there without what it launches."""
    if shutil.which(program) is None:
        return False
    ask = (program, "-c", "import sys; print(*sys.version_info[:2], sep='.')")
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == number


def try_wheel(wheel: Path, models: Path, program: str) -> str:
    """Install the wheel into an empty environment, start everything, draw one image; the SHA-256 of its pixels."""
    with tempfile.TemporaryDirectory(prefix="unikat-try-") as folder:
        python = _environment(program, Path(folder, "environment"))
        pinned = ("-c", str(ROOT / "requirements/constraints.txt"))
        _run(python, "-m", "pip", "install", *_QUIET, *pinned, f"{wheel}[up]")
        with tarfile.open(models) as archive:
            archive.extractall(folder, filter="data")
        unikat = str(Path(python).with_name("unikat"))
        with _everything(unikat, Path(folder)) as target:
            words = ("generate", _DRAWN, "-n", "1", "--seed", "7", "--no-sheet", "--json", "-o", "out")
            told = _run(unikat, *words, "--target", target, folder=Path(folder))
    artwork = json.loads(told.splitlines()[0])
    return str(artwork["pixels_digest"])


@contextmanager
def _everything(unikat: str, folder: Path) -> Iterator[str]:
    """`unikat up` until the end of the block; yields where it listens."""
    words = [unikat, "up", "--listen", "127.0.0.1:0", "--gallery", "none", "--registry", "none", "--open", ""]
    with subprocess.Popen(words, cwd=folder, env=_clean(), stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            ready = re.search(r"is ready on (\S+):", up.stdout.readline())
            if ready is None:
                raise ReleaseError("`unikat up` did not start; what it said stands above")
            yield ready[1]
        finally:
            up.terminate()
            up.wait(60)


def build_images(source: Path, out: Path, engine: Engine) -> None:
    """Build every image under the version's tag; into `out`, what each holds (CycloneDX), and their ids."""
    ids = []
    for name, (file, extra) in IMAGES.items():
        tag = f"unikat-{name}:{version()}"
        arguments = ("--build-arg", f"EXTRA={extra}") if extra else ()
        engine("build", "-f", str(source / f"deploy/{file}.Dockerfile"), *arguments, "-t", tag, str(source))
        ids.append(f"{engine('image', 'inspect', '--format', '{{.Id}}', tag).strip()}  {tag}\n")
        if name in _BARE:
            continue
        contents = out / f"unikat-{name}-{version()}.cdx.json"
        contents.write_text(engine("run", "--rm", "--entrypoint", "cat", tag, SBOM), encoding="utf-8")
    (out / TAGS).write_text("".join(ids), encoding="utf-8")


def write_sums(out: Path) -> Path:
    """The SHA-256 of every file in `out`, as `sha256sum -c` reads them."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(out.iterdir())
        if file.name != SUMS
    ]
    (out / SUMS).write_text("".join(lines), encoding="utf-8")
    return out / SUMS


def release(out: Path, with_images: bool) -> None:
    """All of it. Raises ReleaseError, EngineError."""
    if changed := _run("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"):
        raise ReleaseError(f"a release is made of what is committed; these files differ:\n{changed}")
    text = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version())
    _empty(out)
    (out / NOTES).write_text(text, encoding="utf-8")
    with checked_out() as source:
        built, models = build(source, out), pack_models(source, out)
        wheel = next(path for path in built if path.suffix == ".whl")
        _say(f"built {', '.join(path.name for path in (*built, models))}")
        drawn = {number: try_wheel(wheel, models, program) for number, program in pythons().items()}
        if len(set(drawn.values())) != 1:
            raise ReleaseError(f"Pythons draw different pixels: {drawn}")
        _say(f"installed, started, and drew the same image with Python {', '.join(drawn)}")
        if missing := [number for number in PYTHONS if number not in drawn]:
            _say(f"left out: Python {', '.join(missing)}, not installed here")
        try:
            engine = Engine.find() if with_images else None
        except EngineError as error:
            engine = None
            _say(f"left out: the images ({error})")
        if engine is not None:
            build_images(source, out, engine)
            _say(f"built {len(IMAGES)} images, with what each holds")
    _say(f"checksums: {write_sums(out)}")


def _empty(out: Path) -> None:
    """Make the folder, or empty that of a release before. Raises ReleaseError for one that holds anything else."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReleaseError(f"--out {out}: {error.strerror}") from error
    files = sorted(out.iterdir())
    if others := [each.name for each in files if not (each.is_file() and each.name.startswith(WRITTEN))]:
        raise ReleaseError(f"--out {out} holds what no release has written: {others}; name another folder")
    for file in files:
        file.unlink()


def _environment(program: str, folder: Path) -> str:
    """A new, empty environment; its Python."""
    _run(program, "-m", "venv", str(folder))
    return str(folder / "bin" / "python")


def _run(*words: str, folder: Path | None = None, **variables: str) -> str:
    """Standard output. Raises ReleaseError with all output of a command that failed."""
    done = subprocess.run(words, cwd=folder, env=_clean() | variables, capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(f"{' '.join(words)} exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _clean() -> dict[str, str]:
    """The environment without what would lead a Python to this repository or to another environment."""
    own = ("PYTHON", "UNIKAT_", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def _say(line: str) -> None:
    print(f"release: {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="folder for all files; a release before is deleted"
    )
    parser.add_argument("--no-images", action="store_true", help="leave the images out")
    given = parser.parse_args(arguments)
    try:
        release(given.out, not given.no_images)
    except (ReleaseError, EngineError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
