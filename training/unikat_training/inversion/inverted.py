"""What an inversion has found, as a recipe to draw again, and as a picture to look at."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unikat.bundle import key_of
from unikat.cli.where import format_where
from unikat.conditions import where_of_weights
from unikat.files import write_whole
from unikat.metadata import of_several
from unikat.recipes.artwork import ArtworkRecipe
from unikat.recipes.text import text_of
from unikat.v1.model_pb2 import Model
from unikat_training.errors import TrainingError
from unikat_training.inversion.search import TRUNCATION, Candidate
from unikat_training.sheet import Block, Strip, draw_sheet

Pixels = npt.NDArray[np.uint8]
SHOWN = 256  # pixels a side that each picture has on the sheet, about


@dataclass(frozen=True)
class Inverted:
    """Of `picture` (H, H, 3): the nearest point, and what the optimised latent draws, None where there was no network.

    `features` is what distances are measured in.
    """

    model: Model
    name: str  # of the picture's file
    picture: Pixels
    features: str
    nearest: Candidate
    optimised: Candidate | None = None

    @property
    def found(self) -> Candidate:
        return self.optimised or self.nearest

    @property
    def recipe(self) -> ArtworkRecipe:
        """With every attribute named: a vector has none of its own."""
        where = where_of_weights(self.found.conditions.weights)
        return ArtworkRecipe(key_of(self.model), self.found.mix, where, TRUNCATION)

    @property
    def command(self) -> str:
        """What draws it again."""
        words = ["unikat", "generate", self.recipe.model, "--recipe", text_of(self.recipe.mix)]
        words += [word for each in format_where(self.recipe.where) for word in ("--where", each)]
        return shlex.join([*words, "--truncation", f"{TRUNCATION:g}"])

    def to_json(self) -> dict[str, Any]:
        """JSON values; what is in them is in docs/training.md."""
        recipe = self.recipe
        return {
            "picture": self.name, "model": recipe.model, "model_digest": self.model.digest,
            "recipe": text_of(recipe.mix), "where": recipe.where, "truncation": TRUNCATION, "link": recipe.link,
            "command": self.command, "features": self.features,
            "nearest": {"recipe": text_of(self.nearest.mix), **asdict(self.nearest.distance)},
            "optimised": None if self.optimised is None else asdict(self.optimised.distance),
        }  # fmt: skip

    def sheet(self) -> bytes:
        """The picture, the nearest drawing and the optimised one beside one another, as a PNG."""
        shown = {"the picture": self.picture, "nearest point": self.nearest.drawing}
        told = ["", said(self.nearest)]
        if self.optimised:
            shown["optimised"], told = self.optimised.drawing, [*told, said(self.optimised)]
        factor = max(1, SHOWN // len(self.picture))
        large = np.stack(list(shown.values())).repeat(factor, axis=1).repeat(factor, axis=2)
        block = Block("", [Strip("", large, told)])
        sheet, buffer = (
            draw_sheet([block], f"{self.name}, {key_of(self.model)}", list(shown), large.shape[1]),
            BytesIO(),
        )
        sheet.save(buffer, "PNG", pnginfo=of_several())
        return buffer.getvalue()


def said(candidate: Candidate) -> str:
    distance = candidate.distance
    return f"distance {distance.features:.2f}, {distance.grey_levels:.1f} levels"


def write_inverted(inverted: Inverted, out: Path) -> list[Path]:
    """The sheet `out`, and beside it the recipe as JSON. Raises TrainingError where they cannot be written."""
    document = json.dumps(inverted.to_json(), ensure_ascii=False, indent=2) + "\n"
    beside = out.with_suffix(".json")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, inverted.sheet())
        write_whole(beside, document.encode())
    except OSError as error:
        raise TrainingError(f"--out: {out}: {error.strerror or error}") from error
    return [out, beside]
