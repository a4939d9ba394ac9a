"""Unikat: one-of-a-kind artworks to order.

from unikat import Studio

with Studio("localhost:50051") as studio:
    for artwork in studio.generate("emoji", {"style": "noto"}, count=16, seed=7):
        artwork.save(f"{artwork.index}.png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from unikat.aio import AsyncStudio
    from unikat.artwork import Accepted, Artwork, Finished, Refused
    from unikat.batch import Batch, BatchState, Plan
    from unikat.client import Studio
    from unikat.errors import UnikatError
    from unikat.estimate import Estimate
    from unikat.resuming import AsyncBatchWatch, AsyncGeneration, BatchWatch, Generation

__all__ = [
    "Studio", "Generation", "AsyncStudio", "AsyncGeneration", "Artwork", "Accepted", "Finished", "Refused",
    "UnikatError", "Batch", "BatchState", "BatchWatch", "AsyncBatchWatch", "Plan", "Estimate",
]  # fmt: skip

# Loaded on first use: a worker or a trainer that imports `unikat.bundle` does not load a gRPC client with it.
_HOMES: Final = {
    "Studio": "client", "Generation": "resuming", "AsyncStudio": "aio", "AsyncGeneration": "resuming",
    "Artwork": "artwork", "Accepted": "artwork", "Finished": "artwork", "Refused": "artwork",
    "UnikatError": "errors", "Estimate": "estimate",
    "Batch": "batch", "BatchState": "batch", "Plan": "batch", "BatchWatch": "resuming", "AsyncBatchWatch": "resuming",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'unikat' has no attribute {name!r}")
    return getattr(import_module(f"unikat.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
