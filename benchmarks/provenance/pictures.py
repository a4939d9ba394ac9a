"""Pictures to be marked: drawings of the models of this repository, and photographs that anybody may use."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from benchmarks.figures import ROOT, newest
from unikat.bundle import RGBA
from unikat.conditions import Schema, Weights
from unikat.sampling import latents

Pixels: TypeAlias = npt.NDArray[np.uint8]

MODELS: Final = ("portraits", "emoji")
PHOTOGRAPHS: Final = "photographs"
BATCH: Final = 8
# In scikit-image's wheel. CC0, by their photographers: chelsea, coffee, camera, retina, brick, grass, gravel. In the
# public domain: astronaut, hubble_deep_field (NASA), rocket (SpaceX). Others there have no clear licence.
SOURCES: Final = (
    *("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field"),
    *("retina", "camera", "brick", "grass", "gravel"),
)


def drawings(name: str, seed: int, count: int, where: Weights | None = None) -> Iterator[Pixels]:
    """Batches of images (N, H, W, 3 or 4) of a model in models/; on white, where it has alpha."""
    bundle = newest(ROOT / "models", name)
    model, schema = bundle.model, Schema(bundle.model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # more spin while others use the machine
    session = ort.InferenceSession(bundle.graph.read_bytes(), options, providers=["CPUExecutionProvider"])
    for first in range(0, count, BATCH):
        indices = range(first, min(count, first + BATCH))
        feed = {
            "latent": latents(seed, indices, model.latent_size),
            "truncation": np.full((len(indices), 1), model.default_truncation, np.float32),
            "condition": schema.vectors(schema.complete(where or {}, seed, indices)),
        }
        if model.channels == RGBA:
            feed["background"] = np.ones((len(indices), 4), np.float32)
        yield session.run(["image"], feed)[0]


def photographs(seed: int, sizes: list[int]) -> Iterator[Pixels]:
    """A square (size, size, 3) for each of `sizes`, cut from a photograph at random and scaled."""
    data = import_module("skimage.data")
    sources = [np.asarray(Image.fromarray(getattr(data, name)()).convert("RGB")) for name in SOURCES]
    random = np.random.default_rng(seed)
    for number, size in enumerate(sizes):
        source = sources[number % len(sources)]
        side = int(random.integers(size, min(4 * size, *source.shape[:2]) + 1))
        top, left = (int(random.integers(0, length - side + 1)) for length in source.shape[:2])
        yield scaled(source[top : top + side, left : left + side], (size, size))


def scaled(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """(H, W, 3) at a size (width, height), bicubic."""
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def kinds() -> tuple[str, ...]:
    """What there are pictures of: photographs only where scikit-image is installed."""
    try:
        import_module("skimage.data")
    except ImportError:
        return MODELS
    return (*MODELS, PHOTOGRAPHS)


def pictures(kind: str, size: int, count: int) -> Pixels:
    """(count, size, size, 3)."""
    if kind == PHOTOGRAPHS:
        return np.stack(list(photographs(1, [size] * count)))
    return np.stack([scaled(each[..., :3], (size, size)) for batch in drawings(kind, 1, count) for each in batch])
