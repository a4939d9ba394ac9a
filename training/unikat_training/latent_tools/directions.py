"""Directions of a generator: along which its first weights change the image most (SeFa).

After "Closed-Form Factorization of Latent Semantics in GANs" (Shen & Zhou, CVPR 2021): nothing is trained and nothing
is labelled. The directions are the eigenvectors of AᵀA, A being the weights that the latent meets first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unikat.directions import FORMAT
from unikat_training.networks.base import Generator

COUNT = 16  # directions in a bundle; those after them change little more than any direction does
METHOD = "eigenvectors of the weights that the latent meets first (Shen & Zhou, CVPR 2021)"
DIGITS = 7  # of a vector's numbers: what a float32 holds

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Strength:
    """What a move by one standard deviation changes: the mean over all values of an image, in grey levels of 255."""

    directions: tuple[float, ...]  # of each direction
    random: float  # of directions that were drawn at random
    latents: float  # between images of two independent latents under one condition


@dataclass(frozen=True)
class Directions:
    """Orthogonal unit vectors (K, Z), by falling eigenvalue; 1 is the mean eigenvalue of all Z directions."""

    vectors: Floats
    eigenvalues: tuple[float, ...]
    strength: Strength | None = None

    def __len__(self) -> int:
        return len(self.vectors)


def factorise(generator: Generator, count: int = COUNT) -> Directions:
    """The `count` first directions (as many as the latent has numbers, if those are fewer).

    Where the latent meets several matrices, each weighs the same. A vector's sign is chosen so that its largest number
    is positive, since either would do.
    """
    weights = [weight.detach().cpu().double().numpy() for weight in generator.first_weights()]  # (outputs, Z) each
    gram = np.mean([weight.T @ weight / np.square(weight).sum() for weight in weights], axis=0)  # (Z, Z), trace 1
    values, columns = np.linalg.eigh(gram)  # rising
    vectors = columns.T[::-1][:count]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1, keepdims=True), axis=1)  # (K, 1)
    eigenvalues = np.maximum(values[::-1][:count] * len(values), 0)  # rounding makes a 0 negative
    rounded = [[float(f"{number:.{DIGITS}g}") for number in row] for row in vectors * np.sign(largest)]
    return Directions(np.array(rounded, dtype=np.float32), tuple(round(float(value), 4) for value in eigenvalues))


def to_json(directions: Directions) -> bytes:
    """The file of a bundle; docs/training.md says what is in it. Needs the strength."""
    if directions.strength is None:
        raise ValueError("the directions' strength has not been measured")
    strength = directions.strength
    rows = [
        {"eigenvalue": value, "strength": strong, "vector": [float(f"{number:.{DIGITS}g}") for number in vector]}
        for value, strong, vector in zip(directions.eigenvalues, strength.directions, directions.vectors, strict=True)
    ]
    head = {
        "format": FORMAT,
        "method": METHOD,
        "latent_size": directions.vectors.shape[1],
        "random_strength": strength.random,
        "latent_strength": strength.latents,
    }
    lines = ",\n  ".join(json.dumps(row) for row in rows)  # a direction a line: readable, and small
    return f'{json.dumps(head)[:-1]}, "directions": [\n  {lines}\n]}}\n'.encode()
