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
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from unikat_training.data.dataset import Dataset
from unikat_training.data.pictures import on_white
from unikat_training.evaluation.extractors import FeatureExtractor, Halves, Pixels, with_levels
from unikat_training.evaluation.hashing import Hashes, hashes
from unikat_training.evaluation.neighbours import Floats

VERSION = 3  # of what is kept on disk: older files are not read
BATCH = 64
THUMB = 32  # pixels a side, at most, of what the classifier sees: a cost that does not grow with the resolution
HASHES, LEVELS, THUMBS = "hashes", "levels", "thumbs"


@dataclass(frozen=True)
class Pictures:
    """N pictures: features (N, D) by extractor, thumbs uint8 (N, T, T, 3), hashes, labels (N, A).

    `levels` (N, L) is what the first extractor sees at all its levels: for the classifier alone.
    """

    features: dict[str, Floats]
    levels: Halves
    thumbs: Pixels
    hashes: Hashes
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def main(self) -> Floats:
        """The features that all but the similarity is measured in: the first extractor's."""
        return next(iter(self.features.values()))

    def some(self, rows: npt.NDArray[np.int64]) -> Pictures:
        return Pictures(
            {name: values[rows] for name, values in self.features.items()},
            self.levels[rows],
            self.thumbs[rows],
            self.hashes[rows],
            self.labels[rows],
        )

    def joined(self, other: Pictures) -> Pictures:
        """These pictures, then the others."""
        return Pictures(
            {name: np.concatenate([values, other.features[name]]) for name, values in self.features.items()},
            np.concatenate([self.levels, other.levels]),
            np.concatenate([self.thumbs, other.thumbs]),
            np.concatenate([self.hashes, other.hashes]),
            np.concatenate([self.labels, other.labels]),
        )


@dataclass(frozen=True)
class FeaturePipeline:
    """Extracts features, and keeps those of data sets in the folder `cache`. `seen` gets the size of each batch."""

    extractors: Sequence[FeatureExtractor]
    cache: Path
    seen: Callable[[int], object] = lambda count: None

    def extract(self, batches: Iterable[Pixels], labels: npt.NDArray[np.int64]) -> Pictures:
        """Pictures (B, H, W, 3) in batches, whose labels are (N, A)."""
        found: dict[str, list[Floats]] = {extractor.name: [] for extractor in self.extractors}
        levels: list[Halves] = []
        small: list[Pixels] = []
        hashed: list[Hashes] = []
        for pixels in batches:
            features, level = with_levels(self.extractors[0], pixels)
            found[self.extractors[0].name].append(features)
            levels.append(level)
            for extractor in self.extractors[1:]:
                found[extractor.name].append(extractor(pixels))
            small.append(thumbs(pixels))
            hashed.append(hashes(pixels))
            self.seen(len(pixels))
        joined = {name: np.concatenate(parts) for name, parts in found.items()}
        return Pictures(joined, np.concatenate(levels), np.concatenate(small), np.concatenate(hashed), labels)

    def extract_dataset(self, dataset: Dataset) -> Pictures:
        """The pictures of a data set or a part of one. What is seen of the whole file is kept, by its digest."""
        path = self.cache / f"{self.key(dataset.digest)}.safetensors"
        whole = self.recall(path, len(dataset.images))
        if whole is None:
            starts = range(0, len(dataset.images), BATCH)
            batches = (on_white(np.array(dataset.images[start : start + BATCH])) for start in starts)
            whole = self.extract(batches, np.zeros((len(dataset.images), 0), dtype=np.int64))
            keep(path, {**whole.features, LEVELS: whole.levels, THUMBS: whole.thumbs, HASHES: whole.hashes})
        else:
            self.seen(len(dataset.images))
        return replace(whole.some(dataset.rows), labels=dataset.labels)

    def key(self, digest: str) -> str:
        names = "\n".join((str(VERSION), digest, *(extractor.name for extractor in self.extractors)))
        return f"pictures-{hashlib.sha256(names.encode()).hexdigest()[:24]}"

    def recall(self, path: Path, count: int) -> Pictures | None:
        kept = recalled(path)
        try:
            features = {extractor.name: kept[extractor.name] for extractor in self.extractors}
            labels = np.zeros((count, 0), dtype=np.int64)
            whole = Pictures(features, kept[LEVELS], kept[THUMBS], kept[HASHES], labels)
        except KeyError:
            return None
        return whole if len(whole.thumbs) == count else None


def thumbs(pixels: Pixels) -> Pixels:
    """Pictures (B, H, W, 3), shrunk to (B, 32, 32, 3) where they are larger."""
    if pixels.shape[1] <= THUMB:
        return pixels
    return np.stack([np.asarray(Image.fromarray(p).resize((THUMB, THUMB), Image.Resampling.BOX)) for p in pixels])


def recalled(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a kept file; none if it is not there or broken: then they are made again."""
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError):
        return {}


def keep(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Written under another name first: whoever reads finds the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    os.close(descriptor)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, scratch)
    os.replace(scratch, path)


def threads() -> int:
    """Of ONNX Runtime: as many as torch uses, so that one setting decides."""
    return torch.get_num_threads()
