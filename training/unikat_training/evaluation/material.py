"""What evaluation computes of pictures: features, thumbnails for the classifier, hashes. Real ones are kept on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from unikat.pictures import on_white
from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.extractors import FeatureExtractor, Halves, Pixels, with_levels
from unikat_training.evaluation.hashing import Hashes, hashes
from unikat_training.evaluation.neighbours import Floats
from unikat_training.tensor_files import check_tensors

VERSION = 3  # of what is kept on disk: older files are not read
BATCH = 64
THUMB = 32  # pixels a side, at most, of what the classifier sees: a cost that does not grow with the resolution
HASHES, LEVELS, THUMBS = "hashes", "levels", "thumbs"


@dataclass(frozen=True)
class Pictures:
    """N pictures: arrays (N, …) by name, and labels (N, A).

    By an extractor's name its features (N, D), the first extractor's first; by `LEVELS` (N, L) what that one sees at
    all its levels, for the classifier alone; by `THUMBS` uint8 (N, T, T, 3).
    """

    arrays: dict[str, npt.NDArray[Any]]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def features(self) -> dict[str, Floats]:
        """By extractor."""
        return {name: values for name, values in self.arrays.items() if name not in (LEVELS, THUMBS, HASHES)}

    @property
    def main(self) -> Floats:
        """The features that all but the similarity is measured in: the first extractor's."""
        return next(iter(self.arrays.values()))

    @property
    def levels(self) -> Halves:
        return self.arrays[LEVELS]

    @property
    def thumbs(self) -> Pixels:
        return self.arrays[THUMBS]

    @property
    def hashes(self) -> Hashes:
        return self.arrays[HASHES]

    def some(self, rows: npt.NDArray[np.int64]) -> Pictures:
        return Pictures({name: values[rows] for name, values in self.arrays.items()}, self.labels[rows])

    def joined(self, other: Pictures) -> Pictures:
        """These pictures, then the others."""
        arrays = {name: np.concatenate([values, other.arrays[name]]) for name, values in self.arrays.items()}
        return Pictures(arrays, np.concatenate([self.labels, other.labels]))


@dataclass(frozen=True)
class FeaturePipeline:
    """Extracts features, and keeps those of data sets in the folder `cache`. `seen` gets the size of each batch."""

    extractors: Sequence[FeatureExtractor]
    cache: Path
    seen: Callable[[int], object] = lambda count: None

    def extract(self, batches: Iterable[Pixels], labels: npt.NDArray[np.int64]) -> Pictures:
        """Pictures (B, H, W, 3) in batches, whose labels are (N, A)."""
        found = [self.arrays_of(pixels) for pixels in batches]
        return Pictures({name: np.concatenate([each[name] for each in found]) for name in found[0]}, labels)

    def arrays_of(self, pixels: Pixels) -> dict[str, npt.NDArray[Any]]:
        """`Pictures.arrays` of a batch."""
        main, *others = self.extractors
        features, levels = with_levels(main, pixels)
        found = {main.name: features, **{extractor.name: extractor(pixels) for extractor in others}}
        self.seen(len(pixels))
        return {**found, LEVELS: levels, THUMBS: thumbs(pixels), HASHES: hashes(pixels)}

    def extract_dataset(self, dataset: Dataset) -> Pictures:
        """The pictures of a data set or a part of one. What is seen of the whole file is kept, by its digest."""
        path, count = self.cache / f"{self.key(dataset.digest)}.safetensors", len(dataset.images)
        kept, names = recalled(path), (*(extractor.name for extractor in self.extractors), LEVELS, THUMBS, HASHES)
        nothing = np.zeros((count, 0), dtype=np.int64)
        if kept.keys() == {*names}:
            whole = Pictures({name: kept[name] for name in names}, nothing)
            self.seen(count)
        else:
            batches = (on_white(np.array(dataset.images[start : start + BATCH])) for start in range(0, count, BATCH))
            whole = self.extract(batches, nothing)
            keep(path, whole.arrays)
        return replace(whole.some(dataset.rows), labels=dataset.labels)

    def key(self, digest: str) -> str:
        names = "\n".join((str(VERSION), digest, *(extractor.name for extractor in self.extractors)))
        return f"pictures-{hashlib.sha256(names.encode()).hexdigest()[:24]}"


def thumbs(pixels: Pixels) -> Pixels:
    """Pictures (B, H, W, 3), shrunk to (B, 32, 32, 3) where they are larger."""
    if pixels.shape[1] <= THUMB:
        return pixels
    return np.stack([np.asarray(Image.fromarray(p).resize((THUMB, THUMB), Image.Resampling.BOX)) for p in pixels])


def recalled(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a kept file; none if it is not there or broken: then they are made again."""
    try:
        check_tensors(path)
        return dict(load_file(path))
    except (OSError, ValueError, SafetensorError):
        return {}


def keep(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Written under another name first: whoever reads finds the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    os.close(descriptor)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, scratch)
    os.replace(scratch, path)
