"""Turns a stream of labelled pictures into a data set on disk, all or nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from unikat.bundle import digest_of
from unikat.terminal import Console
from unikat_training.data.dataset import FORMAT, IMAGES, METADATA, Attribute, Source
from unikat_training.data.report import Problem, Report
from unikat_training.data.sheet import contact_sheet
from unikat_training.errors import DatasetError

SHEET = "contact_sheet.png"
REPORT = "report.json"


@dataclass(frozen=True)
class Recipe:
    """What the data set is, apart from its pictures."""

    name: str
    resolution: int
    attributes: tuple[Attribute, ...]  # before the pictures are counted; without categories: as found, sorted
    sources: tuple[Source, ...]
    warnings: tuple[str, ...] = ()
    recorded_digest: str = ""  # of the images as they came out before; empty: not known
    channels: int = 3  # 4: with alpha
    notes: tuple[str, ...] = ()  # how pictures were read, for the report
    litter: Mapping[str, int] = field(default_factory=dict)  # files passed over, by name


@dataclass(frozen=True)
class Output:
    """Where the data set goes. A dry run leaves a contact sheet beside that place and nothing else."""

    path: Path
    dry_run: bool = False
    force: bool = False
    max_left_out: float = 1.0  # of the pictures; where more are lost, nothing is written

    @property
    def sheet(self) -> Path:
        """Where the contact sheet is found afterwards."""
        return self.sheet_beside if self.dry_run else self.path / SHEET

    @property
    def sheet_beside(self) -> Path:
        """Where it is when no data set was written."""
        return self.path.with_name(f"{self.path.name}-{SHEET}")

    def check(self) -> None:
        """Raises DatasetError when there is something at the path that must not be replaced."""
        if self.dry_run or not self.path.exists() or (self.path.is_dir() and not any(self.path.iterdir())):
            return
        if not (self.path / METADATA).is_file() or not (self.path / IMAGES).is_file():
            raise DatasetError(f"--out {self.path}: exists and is not a data set, so it is not replaced; name another")
        if not self.force:
            raise DatasetError(f"--out {self.path}: exists; name another, or replace it with --force")


@dataclass(frozen=True)
class Picture:
    """One labelled picture, ready for the data set. `fingerprint` is equal for equal pictures."""

    name: str
    labels: tuple[str, ...]
    pixels: npt.NDArray[np.uint8]  # (H, W, 3), or (H, W, 4) with alpha, colours not multiplied by it
    fingerprint: bytes
    shape: tuple[int, int] | None = None  # width and height as it was, where that says something


@dataclass
class _Collection:
    """What has been written so far."""

    names: list[str] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)
    shapes: list[tuple[int, int]] = field(default_factory=list)
    first: dict[bytes, int] = field(default_factory=dict)  # fingerprint -> index of the picture that was kept

    def duplicate(self, picture: Picture) -> Problem | None:
        """The problem with a picture that is there already; None, and it counts as kept, when it is new."""
        index = self.first.setdefault(picture.fingerprint, len(self.names))
        if index == len(self.names):
            self.names.append(picture.name)
            self.labels.append(picture.labels)
            self.shapes += [picture.shape] if picture.shape else []
            return None
        if self.labels[index] == picture.labels:
            return Problem("duplicate", picture.name, f"same as {self.names[index]}")
        theirs, ours = ("/".join(labels) for labels in (self.labels[index], picture.labels))
        return Problem("conflict", picture.name, f"{ours}, but {self.names[index]} is {theirs}")


def build(
    recipe: Recipe, pictures: Iterable[Picture | Problem], output: Output, console: Console | None = None
) -> Report:
    """Writes the data set, its contact sheet and report, and returns the report, which is printed on `console`.

    The folder appears complete or not at all. Raises DatasetError when no picture is left or the place is taken, and
    when too many are left out; then there is a contact sheet of the others.
    """
    output.check()
    report = Report(
        recipe.name,
        recipe.resolution,
        recipe.channels,
        warnings=list(recipe.warnings),
        notes=recipe.notes,
        litter=recipe.litter,
    )
    with _workplace(output.path) as folder:
        collection = _write_images(folder / IMAGES, recipe, pictures, report)
        if not collection.names:
            raise DatasetError(_nothing_left(report))
        labels, report.attributes = _number_labels(recipe.attributes, collection.labels)
        report.warn_about_balance()
        report.warn_about_shapes(collection.shapes)
        report.digest = digest_of(folder / IMAGES)
        if recipe.recorded_digest not in ("", report.digest):
            report.warnings.append(f"the pixels are not the recorded ones ({recipe.recorded_digest}): other renderer?")
        images: npt.NDArray[np.uint8] = np.load(folder / IMAGES, mmap_mode="r")
        contact_sheet(images, labels, report.attributes).save(folder / SHEET)
        del images  # Windows moves no folder whose files are mapped
        enough = report.left_out <= output.max_left_out
        if enough and not output.dry_run:
            report.write(folder / REPORT)
            _write_metadata(folder / METADATA, recipe, report, labels, collection.names)
            _publish(folder, output)
        else:
            os.replace(folder / SHEET, output.sheet_beside)
    if console:
        report.print(console, output.sheet if enough else output.sheet_beside)
    if not enough:
        raise DatasetError(report.told_losses())
    return report


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts "2" before "10"; total over any mixture of digits and letters."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return tuple((0, int(p), p) if p.isdecimal() and p.isascii() else (1, 0, p) for p in parts)


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    # Beside the target, so that publishing is a rename within one file system.
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-", dir=path.parent))
    except OSError as error:
        raise DatasetError(f"--out {path}: cannot write there: {error}") from error
    try:
        folder.chmod(0o755)  # mkdtemp makes it private; a data set is not
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_images(file: Path, recipe: Recipe, pictures: Iterable[Picture | Problem], report: Report) -> _Collection:
    collection, shape = _Collection(), (recipe.resolution, recipe.resolution, recipe.channels)
    with file.open("wb") as images:
        _write_header(images, (0, *shape))
        for picture in pictures:
            problem = picture if isinstance(picture, Problem) else collection.duplicate(picture)
            if problem is not None:
                report.problems.append(problem)
            elif isinstance(picture, Picture):
                pixels = picture.pixels
                if pixels.shape != shape or pixels.dtype != np.uint8:
                    raise ValueError(f"expected uint8{shape}, got {pixels.dtype}{pixels.shape}")
                images.write(np.ascontiguousarray(pixels).data)
        report.count = len(collection.names)
        images.seek(0)
        _write_header(images, (report.count, *shape))  # as long: NumPy leaves room for any number of images
    return collection


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _nothing_left(report: Report) -> str:
    problems = [f"{p.item}: {p.kind}{', ' if p.detail else ''}{p.detail}" for p in report.problems[:5]]
    found = "; ".join(problems) if problems else "there were no pictures at all"
    return f"no usable picture for {report.name}: {found}"


def _number_labels(
    plans: tuple[Attribute, ...], labels: list[tuple[str, ...]]
) -> tuple[npt.NDArray[np.int64], tuple[Attribute, ...]]:
    # Categories of which no image is left are dropped: nothing could be learnt of them.
    numbers = np.zeros((len(labels), len(plans)), dtype=np.int64)
    attributes = []
    for column, plan in enumerate(plans):
        found = {row[column] for row in labels}
        order = plan.categories or tuple(sorted(found, key=natural_key))
        categories = tuple(category for category in order if category in found)
        index = {category: i for i, category in enumerate(categories)}
        numbers[:, column] = [index[row[column]] for row in labels]
        counts = tuple(int(n) for n in np.bincount(numbers[:, column], minlength=len(categories)))
        attributes.append(Attribute(plan.name, plan.description, categories, counts))
    return numbers, tuple(attributes)


def _write_metadata(
    file: Path, recipe: Recipe, report: Report, labels: npt.NDArray[np.int64], names: list[str]
) -> None:
    document = {
        "format": FORMAT,
        "name": recipe.name,
        "resolution": recipe.resolution,
        "channels": recipe.channels,
        "count": report.count,
        "attributes": [_attribute_as_json(attribute) for attribute in report.attributes],
        "sources": [_source_as_json(source) for source in recipe.sources],
        "digests": {IMAGES: report.digest},
        "labels": labels.tolist(),
        "items": names,
    }
    # One field a line: the head of the file can be read by people.
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in document.items()]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _attribute_as_json(attribute: Attribute) -> dict[str, object]:
    categories = [{"name": name, "count": count} for name, count in attribute.counted.items()]
    return {"name": attribute.name, "description": attribute.description, "categories": categories}


def _source_as_json(source: Source) -> dict[str, str]:
    kind = "url" if ":" in source.origin else "package"
    return {"name": source.name, kind: source.origin, "licence": source.licence, "credit": source.credit}


def _publish(folder: Path, output: Output) -> None:
    output.check()  # again: building took minutes
    if not output.path.exists():
        os.rename(folder, output.path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{output.path.name}.old-", dir=output.path.absolute().parent))
    os.rename(output.path, old / "old")  # not onto a folder: Windows refuses that
    os.rename(folder, output.path)
    shutil.rmtree(old)
