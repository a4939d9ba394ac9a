"""The model that is measured: its ONNX file, and pictures drawn from it under the conditions of real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unikat.bundle import key_of, read_bundle
from unikat.sampling import latents
from unikat.v1.model_pb2 import Model
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.errors import TrainingError
from unikat_training.evaluation.extractors import Pixels
from unikat_training.evaluation.material import BATCH, FeaturePipeline, Pictures
from unikat_training.evaluation.neighbours import Floats
from unikat_training.renamed import current_settings
from unikat_training.session import open_graph, run_graph

SEED = 1_000_003  # of all that is drawn here; not that of the sample sheets


@dataclass(frozen=True)
class Subject:
    """An exported model. `model` may lack what is only known when its bundle is written."""

    graph: Path
    model: Model

    @classmethod
    def load(cls, bundle: Path) -> Subject:
        """Raises BundleError for what is no bundle, or one whose files are not those it lists."""
        read = read_bundle(bundle)
        read.verify()
        return cls(read.graph, read.model)

    @property
    def name(self) -> str:
        return key_of(self.model)

    @property
    def config(self) -> dict[str, Any]:
        """The run's settings by today's names, as far as they were recorded."""
        try:
            config = json.loads(self.model.training.config or "{}")
        except ValueError:
            return {}
        return current_settings(config) if isinstance(config, dict) else {}

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of categories of each attribute."""
        return tuple(len(attribute.categories) for attribute in self.model.attributes)

    @property
    def unseen_over(self) -> tuple[str, ...]:
        """The attributes of whose combinations some were kept from its training."""
        return Shares.of(self.config).unseen_over or tuple(attribute.name for attribute in self.model.attributes)

    @property
    def truncations(self) -> tuple[float, ...]:
        """1, then the model's own default if it is another."""
        return tuple(dict.fromkeys((1.0, round(self.model.default_truncation, 6))))

    def columns(self, dataset: Dataset) -> list[int]:
        """Which of the data set's attributes the model's are. Raises TrainingError where they are not the same."""
        if (self.model.width, self.model.height) != (dataset.resolution,) * 2:
            raise TrainingError(
                f"{self.name}: draws {self.model.width} x {self.model.height}, but {dataset.path} has pictures of "
                f"{dataset.resolution} x {dataset.resolution}: prepare it with --size {self.model.width}"
            )
        known = {attribute.name: attribute.categories for attribute in dataset.attributes}
        for attribute in self.model.attributes:
            categories = tuple(category.name for category in attribute.categories)
            if known.get(attribute.name) != categories:
                raise TrainingError(
                    f"{self.name}: its attribute {attribute.name} has the categories {list(categories)}, but "
                    f"{dataset.path} has {list(known.get(attribute.name, ()))}: evaluate it with its own data set"
                )
        names = list(known)
        return [names.index(attribute.name) for attribute in self.model.attributes]

    def labels(self, count: int) -> npt.NDArray[np.int64]:
        """Labels (count, A), the combinations of the training set in their shares, as exactly as `count` allows."""
        if not self.sizes:
            return np.zeros((count, 0), dtype=np.int64)
        rows = np.array([list(each.categories) for each in self.model.combinations], dtype=np.int64)
        shares = np.cumsum([float(each.count) for each in self.model.combinations])
        found: npt.NDArray[np.int64] = rows[np.searchsorted(shares, (np.arange(count) + 0.5) / count * shares[-1])]
        return found

    def conditions(self, labels: npt.NDArray[np.int64]) -> Floats:
        """One-hot vectors side by side, (N, C)."""
        blocks = [np.eye(size, dtype=np.float32)[labels[:, i]] for i, size in enumerate(self.sizes)]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(labels), 0), dtype=np.float32)

    def draw(
        self,
        indices: npt.NDArray[np.int64],
        conditions: Floats,
        truncation: float,
        backgrounds: Floats | None = None,
    ) -> Iterator[Pixels]:
        """Images `indices` of `SEED` under conditions (N, C), in batches; with alpha over `backgrounds` (N, 4)."""
        session = open_graph(self.graph, torch.get_num_threads())  # one setting decides for both
        for start in range(0, len(indices), BATCH):
            rows = slice(start, start + BATCH)
            latent = latents(SEED, indices[rows].tolist(), self.model.latent_size)
            behind = None if backgrounds is None else backgrounds[rows]
            yield run_graph(session, latent, conditions[rows], truncation, behind)

    def draw_labels(self, labels: npt.NDArray[np.int64], truncation: float, pipeline: FeaturePipeline) -> Pictures:
        """Image i under the i-th of these labels (N, A)."""
        indices = np.arange(len(labels))
        return pipeline.extract(self.draw(indices, self.conditions(labels), truncation), labels)
