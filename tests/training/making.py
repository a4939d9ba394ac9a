"""Small real data sets and runs for the tests of training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from unikat.bundle import digest_of
from unikat_training.config import Config
from unikat_training.data.dataset import IMAGES, METADATA, Dataset
from unikat_training.operation import Operation
from unikat_training.presets import load_preset

# Small enough that a step takes a few hundredths of a second, with every part that a large one has
TINY = Config(batch=4, latent=8, width=4, max_width=8, feature_size=32, ema_images=50)
SMALL = {"batch": 4, "latent": 8, "width": 4, "max_width": 8, "discriminator_width": 4, "discriminator_max_width": 8}
SHAPES = ("disc", "square")
COLOURS = ("red", "green", "blue")


def tiny(preset: str, resolution: int = 16, **changes: float) -> Config:
    """A preset with networks as small as `TINY`'s, for drawings as `write_dataset` makes them."""
    values: dict[str, float] = {
        **SMALL,
        "feature_size": max(32, resolution),
        "ema_images": 50,
        "ema_images_from": 0,
        **changes,
    }
    return replace(load_preset(preset, resolution), **values)  # type: ignore[arg-type]  # numbers of both kinds


def write_dataset(
    path: Path, count: int = 60, resolution: int = 16, plain: bool = False, alpha: bool = False
) -> Dataset:
    """Discs and squares in three colours, of random sizes; red squares are rare. `plain` leaves the labels away.

    With `alpha` they are drawn on nothing instead of on white.
    """
    rng = np.random.default_rng(5)
    labels = np.stack([rng.integers(0, len(SHAPES), count), rng.integers(0, len(COLOURS), count)], axis=1)
    labels[(labels[:, 0] == 1) & (labels[:, 1] == 0) & (np.arange(count) > 3)] = (0, 0)
    images = np.stack([drawing(rng, resolution, *row) for row in labels])
    if alpha:
        inside = (images != 255).any(axis=-1, keepdims=True)
        images = np.concatenate([images, np.full_like(images[..., :1], 255)], axis=-1) * inside
    path.mkdir(parents=True)
    np.save(path / IMAGES, images)
    names = [] if plain else [("shape", SHAPES), ("colour", COLOURS)]
    document = {
        "format": 1,
        "name": "shapes",
        "resolution": resolution,
        "count": count,
        **({"channels": 4} if alpha else {}),
        "attributes": [
            {
                "name": name,
                "description": f"The {name}.",
                "categories": [
                    {"name": category, "count": int((labels[:, column] == index).sum())}
                    for index, category in enumerate(categories)
                ],
            }
            for column, (name, categories) in enumerate(names)
        ],
        "labels": [[] if plain else row.tolist() for row in labels],
        "sources": [{"name": "tests", "url": "none", "licence": "CC0-1.0", "credit": "Drawn by the tests"}],
        "items": [f"drawing {index}" for index in range(count)],
        "digests": {IMAGES: digest_of(path / IMAGES)},
    }
    (path / METADATA).write_text(json.dumps(document))
    return Dataset.load(path)


def drawing(
    rng: np.random.Generator, resolution: int, shape: int, colour: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rows, columns = np.mgrid[:resolution, :resolution] - resolution / 2 + rng.uniform(-2, 2)
    radius = rng.uniform(0.2, 0.4) * resolution
    inside = rows**2 + columns**2 < radius**2 if shape == 0 else np.maximum(abs(rows), abs(columns)) < radius
    image = np.full((resolution, resolution, 3), 255, dtype=np.uint8)
    image[inside] = 30
    image[inside, colour] = rng.integers(160, 256)
    return image


def operation(images: int, **changes: float) -> Operation:
    """One thread, no progress bar, and a checkpoint at the end only, unless `changes` say otherwise."""
    settings = {"threads": 1, "checkpoint_seconds": 1e9, "sheet_images": 10**9, "log_images": 4, **changes}
    return Operation(images=images, progress=False, **settings)  # type: ignore[arg-type]  # numbers of both kinds
