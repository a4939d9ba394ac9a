"""Whether a blend of two categories lies between them, by the classifier's probabilities along the way."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from unikat_training.evaluation.neighbours import Floats
from unikat_training.evaluation.setup import EvaluationSetup
from unikat_training.evaluation.subject import Subject

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the second category
SLACK = 0.02  # by which a curve may fall and still count as rising
BETWEEN = (0.1, 0.9)  # of the way, in which the middle of a blend has to lie
NEITHER = 0.05  # of the distance of the ends, which the middle has to keep from both
MOST = 0.5  # of the latents
RISE = 0.3  # from end to end, below which the classifier sees no way on which something could lie between


@dataclass(frozen=True)
class Blend:
    """Of two categories, over `WEIGHTS` of the second: mean shares of the classifier's probability."""

    attribute: str
    one: str
    other: str
    share: tuple[float, ...]  # the second's part of what falls on the two
    mass: tuple[float, ...]  # what falls on the two together
    monotone: bool  # the share never falls
    mixed: float  # share of latents whose middle picture is neither end, and nearer to both than they are apart
    between: bool  # half and half lies between: by the classifier on average, and as most single pictures


@dataclass(frozen=True)
class Pair:
    """Two categories, by position, of an attribute."""

    column: int
    one: int
    other: int


def choose_pairs(subject: Subject, most: int) -> list[Pair]:
    """Up to `most` pairs of each attribute, evenly out of all."""
    out = []
    for column, size in enumerate(subject.sizes):
        pairs = list(combinations(range(size), 2))
        for index in np.unique(np.linspace(0, len(pairs) - 1, min(most, len(pairs))).astype(int)) if pairs else ():
            out.append(Pair(column, *pairs[index]))
    return out


def path_of(subject: Subject, pair: Pair, count: int) -> Floats:
    """Conditions (len(WEIGHTS), count, C): the other attributes as they occur with the one or the other category."""
    rows = np.array([list(each.categories) for each in subject.model.combinations], dtype=np.int64)
    sizes = np.array([each.count for each in subject.model.combinations])
    ends = []
    for category in (pair.one, pair.other):
        own = np.flatnonzero(rows[:, pair.column] == category)
        ends.append(rows[own[np.argsort(-sizes[own], kind="stable")]] if len(own) else rows)
    base = np.stack([ends[i % 2][(i // 2) % len(ends[i % 2])] for i in range(count)])  # (count, A)
    start = sum(subject.sizes[: pair.column])
    path = np.repeat(subject.conditions(base)[None], len(WEIGHTS), axis=0)
    path[:, :, start : start + subject.sizes[pair.column]] = 0
    for step, weight in enumerate(WEIGHTS):
        path[step, :, start + pair.one] = 1 - weight
        path[step, :, start + pair.other] = weight
    return path


def measure_blends(subject: Subject, setup: EvaluationSetup, pairs: list[Pair]) -> tuple[Blend, ...]:
    """Some latents a pair, the same along the way, at the model's default truncation."""
    if setup.classifier is None:
        return ()
    out, images = [], setup.effort.blend_images
    for pair in pairs:
        path = path_of(subject, pair, images)
        indices = np.tile(np.arange(images), len(WEIGHTS))
        drawn = subject.draw(indices, path.reshape(len(indices), -1), subject.truncations[-1])
        pictures = setup.pipeline.extract(drawn, np.zeros((len(indices), len(subject.sizes)), dtype=np.int64))
        found = setup.classifier.probabilities(pictures)[pair.column].reshape(len(WEIGHTS), images, -1)
        probabilities = found[:, :, [pair.one, pair.other]].astype(np.float64)
        out.append(blend_of(subject, pair, probabilities, mixed_share(pictures.main.reshape(len(WEIGHTS), images, -1))))
    return tuple(out)


def mixed_share(features: Floats) -> float:
    """Of features (len(WEIGHTS), images, D): a picture that jumps from one end to the other is no mixture."""
    middle = features[len(WEIGHTS) // 2]
    apart, one, other = (
        np.linalg.norm(a - b, axis=1)
        for a, b in ((features[0], features[-1]), (features[0], middle), (middle, features[-1]))
    )  # (images,) each
    nearest, farthest = np.minimum(one, other), np.maximum(one, other)
    return float(((nearest > NEITHER * apart) & (farthest < apart)).mean())


def blend_of(subject: Subject, pair: Pair, found: npt.NDArray[np.float64], mixed: float) -> Blend:
    """From the probabilities of the two categories, (len(WEIGHTS), images, 2)."""
    mass = found.sum(axis=2)  # (W, images)
    share = (found[:, :, 1] / np.maximum(mass, 1e-9)).mean(axis=1)  # (W,)
    attribute = subject.model.attributes[pair.column]
    rise = share[-1] - share[0]
    way = (share[len(WEIGHTS) // 2] - share[0]) / rise if rise > 0 else 0.0
    return Blend(
        attribute=attribute.name,
        one=attribute.categories[pair.one].name,
        other=attribute.categories[pair.other].name,
        share=tuple(share.tolist()),
        mass=tuple(mass.mean(axis=1).tolist()),
        monotone=bool((np.diff(share) > -SLACK).all()),
        mixed=mixed,
        between=bool(rise > RISE and BETWEEN[0] <= way <= BETWEEN[1] and mixed >= MOST),
    )
