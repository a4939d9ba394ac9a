"""Small real inputs for the preparation of data, and the command that is tested on them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from unikat_training.data.commands import app
from unikat_training.data.dataset import Dataset


def picture(seed: int, size: tuple[int, int] = (20, 14)) -> Image.Image:
    """A picture of `size` (width, height) like no other seed's."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png(seed: int) -> bytes:
    """`picture` as the bytes of a PNG."""
    stream = io.BytesIO()
    picture(seed).save(stream, "PNG")
    return stream.getvalue()


def fill(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files by their path within `folder`."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@dataclass(frozen=True)
class Prepared:
    """What `prepare` left behind."""

    out: Path
    code: int
    printed: str

    @property
    def dataset(self) -> Dataset:
        """What was made, checked by loading it."""
        assert self.code == 0, self.printed
        return Dataset.load(self.out)

    @property
    def problems(self) -> set[tuple[str, str]]:
        """(kind, item) of everything that the report names."""
        report = json.loads((self.out / "report.json").read_text("utf-8"))
        return {(problem["kind"], problem["item"]) for problem in report["problems"]}

    @property
    def message(self) -> str:
        """What is printed by a refused preparation, on one line."""
        assert self.code == 2, self.printed
        return self.said

    @property
    def said(self) -> str:
        """What is printed, on one line."""
        return " ".join(self.printed.split())


def prepare(out: Path, *arguments: str | Path) -> Prepared:
    """Runs `unikat prepare ARGUMENTS --out OUT` in this process."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--out", str(out)], catch_exceptions=False)
    return Prepared(out, result.exit_code, result.output)


# Nothing stops the preparation, whatever is left out: what is left out is what is tested.
TAKE_ALL = ("--max-left-out", "1")


def labels_by_item(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Item -> category names, one an attribute."""
    rows = zip(dataset.items, dataset.labels, strict=True)
    return {
        item: tuple(a.categories[value] for a, value in zip(dataset.attributes, row, strict=True)) for item, row in rows
    }
