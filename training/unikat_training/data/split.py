"""Which pictures are kept from training: to decide during a run, to measure a model, and combinations never seen."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

# An emoji's item: whose drawing it is, the code points, the name: "noto/1f44b-1f3fd waving hand medium skin tone".
_EMOJI = re.compile(r"([^/ ]+)/([0-9a-f]{2,}(?:-[0-9a-f]{2,})*) ")
_SKIN_TONE = re.compile(r"-1f3f[b-f]")
_GENDER = re.compile(r"-200d-264[02]$")
# man and woman, boy and girl, old man and old woman: drawings of a person, a child, an old person
_PERSONS = {"1f468": "1f9d1", "1f469": "1f9d1", "1f466": "1f9d2", "1f467": "1f9d2", "1f474": "1f9d3", "1f475": "1f9d3"}

LEAST_VALIDATION = 128  # pictures; fewer decide nothing, and training needs them

Chosen = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """What of a data set is kept from training; all of it follows from names, so it never changes.

    `unseen` is a share of the combinations of the attributes `unseen_over` (none: of all attributes).
    """

    test: float = 0.0  # of the pictures; looked at when a model is measured
    validation: float = 0.0  # of the pictures; looked at during a run
    unseen: float = 0.0
    unseen_over: tuple[str, ...] = ()
    together: bool = True  # pictures of the same thing, in several styles or genders, are on one side

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shares:
        """Those of a run's settings; runs of earlier versions lack some."""
        return cls(
            test=float(config.get("held_out", 0.0)),
            validation=float(config.get("validation", 0.0)),
            unseen=float(config.get("unseen", 0.0)),
            unseen_over=names_in(config.get("unseen_over", "")),
            together=bool(config.get("grouped_split", False)),
        )


def names_in(text: str) -> tuple[str, ...]:
    """Comma-separated names of attributes, as settings have them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def group_of(item: str, together: bool = True) -> str:
    """What stays together: a picture of its own, but of a drawing in several skin tones all of them.

    Otherwise half of what is held out would be in the training set, in another colour. `together` also joins the same
    emoji in other styles and as man, woman or person.
    """
    emoji = _EMOJI.match(item)
    if emoji is None:
        return item
    style, points = emoji.group(1), _SKIN_TONE.sub("", emoji.group(2))
    if not together:
        return f"{style}/{points}"
    points = _GENDER.sub("", points)
    first, dash, rest = points.partition("-")
    return f"{_PERSONS.get(first, first)}{dash}{rest}"


def places(items: Sequence[str], together: bool = True) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each item that follows from its group's name; the least ones are held out first."""
    return np.array([_uniform(group_of(item, together)) for item in items], dtype=np.float64)


def unseen_rows(labels: Labels, names: Sequence[Sequence[str]], share: float) -> Chosen:
    """Which images have a combination that is held out: about `share` of those that occur, chosen by their names.

    `labels` (N, k) of k attributes whose categories are `names`. A combination stays where it is the last one with
    some k - 1 of its categories: what is asked of the model is a new combination of pairs that it knows.
    """
    found, membership = np.unique(labels, axis=0, return_inverse=True)
    words = ["/".join(name[label] for name, label in zip(names, row, strict=True)) for row in found]
    order = np.array([_uniform(f"unseen/{word}") for word in words])
    out = np.zeros(len(found), dtype=np.bool_)
    width = labels.shape[1]
    for index in np.argsort(order, kind="stable"):
        if order[index] >= share:
            break
        kept = found[~out]
        parts = [list(columns) for columns in combinations(range(width), width - 1)]
        out[index] = all((kept[:, part] == found[index][part]).all(axis=1).sum() > 1 for part in parts)
    chosen: Chosen = out[membership.reshape(-1)]
    return chosen


def _uniform(text: str) -> float:
    """A number in [0, 1) that follows from a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
