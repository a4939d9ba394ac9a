"""Training previews with the numbers that the service will draw with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from unikat import sampling
from unikat_training.latents import latents

VECTORS = Path(__file__).parents[1] / "vectors" / "latents.json"


def test_the_torch_latents_are_the_frozen_vectors() -> None:
    rows = json.loads(VECTORS.read_text())["latents"]
    assert rows
    for row in rows:
        values = [float.fromhex(value) for value in row["values"]]
        drawn = latents(int(row["seed"]), [int(row["index"])], len(values))
        assert drawn.dtype == torch.float32
        assert drawn[0].tolist() == values


def test_the_torch_latents_are_those_of_numpy_for_many_seeds() -> None:
    for seed in (0, 7, 2**32, 2**63 + 5, sampling.MAX_SEED):
        indices = [0, 1, 2**31, 2**32, 2**40 + 3]
        assert np.array_equal(latents(seed, indices, 130).numpy(), sampling.latents(seed, indices, 130))
