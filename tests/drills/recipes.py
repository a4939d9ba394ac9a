"""What callers of a drill ask for, and what they find in files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from tests.drills.history import Image
from unikat.request import Where

LAST_INDEX: Final = 320  # behind all that is asked for of a recipe


@dataclass(frozen=True)
class Recipe:
    """What is asked for: a model, by a bare name or with its version, conditions and a seed."""

    model: str
    where: Where
    seed: int


RECIPES: Final[dict[str, Recipe]] = {
    "sea in ink": Recipe("tiny", {"style": "ink", "subject": "sea"}, 1),
    "hills in oil": Recipe("tiny", {"style": "oil", "subject": "hill"}, 2),
    "anything": Recipe("tiny", {}, 2**63),
    "ink, pinned": Recipe("tiny@1", {"style": "ink"}, 4),
    "a blend, pinned": Recipe("tiny@1", {"style": {"ink": 0.5, "chalk": 0.5}}, 5),
    "hills, pinned": Recipe("tiny@1", {"subject": "hill"}, 1),
}


def files_of(folder: Path) -> list[Image]:
    """The images of a batch's folder, in the order of their indexes; an id is what the manifest says."""
    manifest = folder / "manifest.parquet"
    rows = pq.read_table(manifest, columns=["index", "id"]).to_pylist() if manifest.exists() else []
    ids = {row["index"]: row["id"] for row in rows}
    files = sorted(folder.glob("images/*/*.png"), key=lambda file: int(file.stem))
    return [Image(int(file.stem), ids.get(int(file.stem), ""), digest_of(file.read_bytes())) for file in files]


def digest_of(data: bytes) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()
