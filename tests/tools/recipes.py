"""Writes tests/vectors/recipes.json: `python -m tests.tools.recipes`. A test compares it with what is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from unikat.identity import artwork_digest
from unikat.recipes.latents import mix_latents
from unikat.recipes.mix import Base, mix_of, mutated
from unikat.recipes.sequence import Walk
from unikat.recipes.text import text_of, vector_bytes

TARGET: Final = Path(__file__).parents[1] / "vectors" / "recipes.json"
SIZE: Final = 8
CASES: Final[list[dict[str, Any]]] = [
    {"points": [[[7, 3], 1]]},
    {"points": [[[7, 3], 0.5], [[7, 3], 0.25]]},
    {"points": [[[9, 0], 1], [[7, 3], 1]]},
    {"points": [[[9, 0], 0.1], [[7, 3], -0.7], [[9, 0], 0.2], [[2**64 - 1, 2**32 - 1], 1e6]]},
    {"points": [[[7, 3], 3], [[9, 0], 4]], "shifts": [["1", 1.5], ["1", 0.25]]},
    {"points": [[[7, 3], 1], [[0.5, -0.25, 1, 0, 0, 2, -1.5, 0.125], 2]]},
    {"points": [[[7, 3], 1]], "mutations": [[0.3, 11, 5]]},
    {"points": [[[7, 3], 1], [[9, 0], 2]], "mutations": [[0.3, 11, 5], [0.7, 12, 0]]},
    {"points": [[[7, 3], 1]], "mutations": [[0, 11, 5]]},
    {"points": [[[7, 3], 1]], "mutations": [[1, 11, 5]]},
    {"points": [[[7, 0], 1]], "walk": {"to": [[[9, 3], 1]], "frames": 10, "frame": 4, "smooth": False}},
    {"points": [[[7, 0], 1]], "walk": {"to": [[[9, 3], 1], [[7, 0], -0.5]], "frames": 7, "frame": 2, "smooth": True}},
]


def base_of(said: list[float]) -> Base:
    return (int(said[0]), int(said[1])) if len(said) == 2 else vector_bytes(said)


def computed(case: dict[str, Any]) -> dict[str, Any]:
    """The case with what follows from it: numbers as hexadecimal floats."""
    mix = mix_of([(base_of(base), weight) for base, weight in case["points"]], map(tuple, case.get("shifts", [])))
    for radius, seed, index in case.get("mutations", []):
        mix = mutated(mix, radius, (seed, index))
    if "walk" in case:
        walk = case["walk"]
        other = mix_of([(base_of(base), weight) for base, weight in walk["to"]])
        mix = Walk((mix, other), walk["frames"], smooth=walk["smooth"]).at(walk["frame"])
    (latent,) = mix_latents([mix], SIZE, {"1": np.eye(SIZE, dtype=np.float32)[0]})
    return case | {
        "recipe": text_of(mix),
        "weights": [float(weight).hex() for _, weight in mix.points],
        "latent": [float(number).hex() for number in latent],
        "digest": artwork_digest("sha256:" + "0" * 64, {}, 0, 0, 1.0, mix=mix).hex(),
    }


if __name__ == "__main__":
    lines = ",\n ".join(json.dumps(computed(case)) for case in CASES)
    TARGET.write_text(f"[{lines}]\n", encoding="utf-8")
