"""A model bundle: the folder `<models>/<name>/<version>/` that training writes and workers serve.

It holds `generator.onnx`, `model.json` (the proto `Model` as JSON), `samples.png` and `MODEL_CARD.md`. A version is
immutable: `model.json` has the digest of every other file, and the bundle's own digest is that of `model.json`.
`training.safetensors`, what training needs to go on, is listed like every other file and optional: who draws neither
reads nor needs it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format

from unikat.json_text import lines_of_json, parse_json
from unikat.onnx_file import check_self_contained
from unikat.v1.model_pb2 import BundleFile, Model

FORMAT_VERSION: Final = 1
RGBA: Final = 4  # channels of a model with alpha
GRAPH: Final = "generator.onnx"
MANIFEST: Final = "model.json"
SAMPLES: Final = "samples.png"
CARD: Final = "MODEL_CARD.md"
TRAINING: Final = "training.safetensors"
ORIGINALITY: Final = "originality.npz"  # what the training pictures look like; a bundle may be without
OPTIONAL: Final = frozenset({TRAINING})  # may be missing from a bundle that lists them

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(r"[\w.-][\w. -]{0,99}(/[\w.-][\w. -]{0,99}){0,7}")  # of a file inside a bundle
MAX_MANIFEST: Final = 16 * 2**20  # bytes of model.json
MAX_FILES: Final = 1000
MAX_GRAPH: Final = 2**31 - 1  # bytes of a protobuf message, and so of an ONNX file with its weights inside
MAX_SIDE: Final = 4096  # pixels
MAX_LATENT: Final = 65_536
MAX_REFERENCE: Final = 73  # characters of "name@version"
MAX_ATTRIBUTES: Final = 64
MAX_CATEGORIES: Final = 10_000  # of all attributes together
MAX_CATEGORY: Final = 255  # characters of a category's name
ATTRIBUTE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
# What a category must not have, because `--where attribute=one:0.7,other:0.3` could not say it.
UNTYPABLE: Final = re.compile(r"^\s|\s$|[=,:]|^$|[\x00-\x1f\x7f]")


class BundleError(ValueError):
    """A bundle cannot be used; the message names the file, what is wrong and what was expected."""


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk. `model.digest` is filled in."""

    path: Path
    model: Model

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.path / GRAPH

    def verify(self) -> None:
        """Compare every file but optional ones with its digest.

        Raises BundleError naming the first that differs or is missing.
        """
        for file in self.model.files:
            if file.path not in OPTIONAL:
                self._verify(file)

    def training_weights(self) -> Path:
        """The file of what training needs to go on, compared with its digest.

        Raises BundleError where the bundle was written without it, and where it is missing or differs.
        """
        for file in self.model.files:
            if file.path == TRAINING:
                return self._verify(file)
        raise BundleError(
            f"{self.path}: has no {TRAINING}, so nothing can be trained from it: it was exported without, or by an "
            "earlier version"
        )

    def _verify(self, file: BundleFile) -> Path:
        path = self.path / file.path
        if not path.is_file():
            what = "is optional and not here; get it from where the bundle is from" if file.path in OPTIONAL else ""
            raise BundleError(f"{path}: {what or f'is missing, but {MANIFEST} lists it'}")
        try:
            check_size(path, file.size)
        except ValueError as error:
            raise BundleError(f"{path}: {error}") from error
        found = digest_of(path)
        if found != file.digest:
            raise BundleError(f"{path}: digest is {found}, but {MANIFEST} says {file.digest}; restore the file")
        return path


def digest_of(path: Path) -> str:
    """ "sha256:<hex>" of a file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def key_of(model: Model) -> str:
    """ "name@version"."""
    return f"{model.name}@{model.version}"


@lru_cache(1024)
def parse_reference(reference: str) -> tuple[str, int | None]:
    """ "emoji" to ("emoji", None), "emoji@1" to ("emoji", 1). Raises ValueError for anything else."""
    name, at, version = reference.partition("@")
    well_formed = _NAME.fullmatch(name) and (not at or _VERSION.fullmatch(version))
    if not well_formed:
        raise ValueError(f'must be "name" or "name@version", for example "emoji" or "emoji@1", not {reference!r}')
    return name, int(version) if at else None


def condition_size(model: Model) -> int:
    """Width of the graph's condition input: the number of categories of all attributes together."""
    return sum(len(attribute.categories) for attribute in model.attributes)


def has_index(model: Model) -> bool:
    """Whether a model's bundle says what its training pictures look like."""
    return any(file.path == ORIGINALITY for file in model.files)


def read_bundle(path: Path) -> Bundle:
    """Read `model.json` and check what it says of itself; the files' digests are left to `verify`.

    Raises BundleError for a missing or malformed manifest, a newer format, or a model that contradicts itself.
    """
    manifest = path / MANIFEST
    try:
        text = read_bounded(manifest, MAX_MANIFEST)
        model = parse_manifest(text)
    except ValueError as error:
        raise BundleError(f"{manifest}: {error}") from error
    model.digest = "sha256:" + hashlib.sha256(text).hexdigest()
    return Bundle(path, model)


def read_bounded(path: Path, most: int) -> bytes:
    """A file's bytes. Raises ValueError for one that cannot be read or has more than `most`."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise ValueError(f"has more than {most} bytes, the most that such a file may have")
    return content


def check_size(path: Path, size: int) -> None:
    """Raise ValueError for a file that has another size than `model.json` says, or cannot be read."""
    try:
        found = path.stat().st_size
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if found != size:
        raise ValueError(f"has {found} bytes, but {MANIFEST} says {size}; restore the file")


def read_sized(path: Path, size: int) -> bytes:
    """The bytes of a file that must have so many. Raises ValueError."""
    check_size(path, size)
    return read_bounded(path, size)


def parse_manifest(text: bytes) -> Model:
    """The model that `model.json` describes. Raises ValueError for what is malformed, newer or contradicts itself."""
    try:
        fields = parse_json(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"must hold a JSON object, not {type(fields).__name__}")
    version = fields.get("formatVersion")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ValueError(f"format version {version} is newer than {FORMAT_VERSION}; upgrade unikat")
    return _checked(fields, _problems)


def parse_description(text: bytes) -> Model:
    """The model as a worker describes it in Redis; fields of later releases are passed over. Raises ValueError."""
    try:
        fields = parse_json(text)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from error
    return _checked(fields, _schema_problems, ignore_unknown_fields=True)


def _checked(
    fields: Any,  # noqa: ANN401  # JSON
    problems: Callable[[Model], Iterable[str]],
    *,
    ignore_unknown_fields: bool = False,
) -> Model:
    try:
        model = json_format.ParseDict(fields, Model(), ignore_unknown_fields=ignore_unknown_fields)
    except (json_format.Error, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"is not a model: {error}") from error
    for problem in problems(model):
        raise ValueError(problem)
    return model


def write_bundle(path: Path, model: Model, files: Mapping[str, Path | bytes]) -> Bundle:
    """Write a bundle to `path`, which must not exist; files appear together or not at all.

    `files` maps a path inside the bundle to a file to copy or to its bytes, and must hold generator.onnx,
    samples.png and MODEL_CARD.md. `model.files`, `model.digest` and `model.format_version` are filled in here.
    Raises BundleError for a bundle that would not be readable, FileExistsError for a version that is there.
    """
    missing = {GRAPH, SAMPLES, CARD} - files.keys()
    if missing:
        raise BundleError(f"{path}: a bundle needs {', '.join(sorted(missing))}")
    if path.exists():
        raise FileExistsError(f"{path}: is there already; a version is immutable, so choose the next one")
    path.parent.mkdir(parents=True, exist_ok=True)
    # A leading dot: list_bundles passes over it while it is being written.
    scratch = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    try:
        for name, content in sorted(files.items()):
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                (scratch / name).write_bytes(content)
            else:
                shutil.copyfile(content, scratch / name)
        try:
            check_self_contained((scratch / GRAPH).read_bytes())
        except ValueError as error:
            raise BundleError(f"{path / GRAPH}: {error}") from error
        _write_manifest(scratch, model, sorted(files))
        scratch.chmod(0o755)
        os.rename(scratch, path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return read_bundle(path)


def _write_manifest(folder: Path, model: Model, names: list[str]) -> None:
    complete = Model()
    complete.CopyFrom(model)
    complete.digest = ""
    complete.format_version = FORMAT_VERSION
    del complete.files[:]
    for name in names:
        file = folder / name
        complete.files.append(BundleFile(path=name, digest=digest_of(file), size=file.stat().st_size))
    check_model(complete, folder / MANIFEST)
    (folder / MANIFEST).write_text(lines_of_json(json_format.MessageToDict(complete)) + "\n", encoding="utf-8")


def check_model(model: Model, source: Path) -> None:
    """Raise BundleError if a model contradicts itself; `source` is named in the message."""
    for problem in _problems(model):
        raise BundleError(f"{source}: {problem}")


def _problems(model: Model) -> Iterator[str]:
    if not 1 <= model.format_version <= FORMAT_VERSION:
        yield f"formatVersion: must be 1 to {FORMAT_VERSION}, not {model.format_version}"
    yield from _schema_problems(model)
    for combination in model.combinations:
        sizes = [len(attribute.categories) for attribute in model.attributes]
        chosen = list(combination.categories)
        if len(chosen) != len(sizes) or any(c >= size for c, size in zip(chosen, sizes, strict=False)):
            yield f"combinations: {chosen} does not name one category of each of {len(sizes)} attributes"
    if model.attributes and not any(combination.count for combination in model.combinations):
        yield "combinations: must hold at least one with a count, for a model with attributes"
    yield from _file_problems(model)


def _schema_problems(model: Model) -> Iterator[str]:
    """What is wrong with what requests are checked against."""
    if not _NAME.fullmatch(model.name):
        yield f"name: must match {_NAME.pattern}, not {model.name!r}"
    for field, most in (("version", 10**9 - 1), ("width", MAX_SIDE), ("height", MAX_SIDE), ("latent_size", MAX_LATENT)):
        if not 1 <= getattr(model, field) <= most:
            yield f"{field}: must be 1 to {most}, not {getattr(model, field)}"
    if model.channels not in (0, 3, RGBA):
        yield f"channels: must be 3, or 4 with alpha, not {model.channels}"
    yield from _attribute_problems(model)


def _file_problems(model: Model) -> Iterator[str]:
    paths = [file.path for file in model.files]
    if GRAPH not in paths:
        yield f"files: must list {GRAPH}"
    if len(set(paths)) < len(paths) or len(paths) > MAX_FILES:
        yield f"files: must be at most {MAX_FILES}, each once"
    for file in model.files:
        if Path(file.path).is_absolute() or ".." in Path(file.path).parts or not _PATH.fullmatch(file.path):
            yield f"files: {file.path[:MAX_CATEGORY]!r} leads out of the bundle, or is no name for a file of it"
        if not _DIGEST.fullmatch(file.digest):
            yield f"files: the digest of {file.path} must match {_DIGEST.pattern}"
        if file.path == GRAPH and file.size > MAX_GRAPH:
            yield f"files: {GRAPH} may have {MAX_GRAPH} bytes, not {file.size}"


def _attribute_problems(model: Model) -> Iterator[str]:
    if len(model.attributes) > MAX_ATTRIBUTES or condition_size(model) > MAX_CATEGORIES:
        yield f"attributes: must be at most {MAX_ATTRIBUTES}, with {MAX_CATEGORIES} categories in all"
        return
    names = [attribute.name for attribute in model.attributes]
    if len(set(names)) < len(names):
        yield f"attributes: a name occurs twice in {names}"
    for attribute in model.attributes:
        if not ATTRIBUTE_NAME.fullmatch(attribute.name):
            yield f"attributes: a name must match {ATTRIBUTE_NAME.pattern}, not {attribute.name!r}"
        categories = [category.name for category in attribute.categories]
        if not categories or len(set(categories)) < len(categories):
            yield f"attributes: {attribute.name} must have categories of different names, not {categories}"
        for category in categories:
            if UNTYPABLE.search(category) or len(category) > MAX_CATEGORY:
                shown = category[:MAX_CATEGORY]
                yield (
                    f"attributes: {attribute.name}: {shown!r} cannot name a category (no '=', ',' or ':', and at most "
                    f"{MAX_CATEGORY} characters)"
                )


def find_bundle(models: Path, reference: str) -> Path | None:
    """The bundle "name@version", or the newest of "name", below `models`. Raises ValueError for no such reference."""
    name, version = parse_reference(reference)
    found = [path for path in list_bundles(models) if path.parent.name == name]
    wanted = [path for path in found if version is None or path.name == str(version)]
    return wanted[-1] if wanted else None


def list_bundles(models: Path) -> list[Path]:
    """Paths of the bundles below `models`, by name and version. Nothing is read, so a broken one is listed too."""
    found = [
        (folder.parent.name, int(folder.name), folder)
        for folder in models.glob("*/*")
        if _VERSION.fullmatch(folder.name) and not folder.parent.name.startswith(".") and (folder / MANIFEST).exists()
    ]
    return [folder for _, _, folder in sorted(found)]
