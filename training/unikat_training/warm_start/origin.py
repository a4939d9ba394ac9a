"""What a run records of the model that it began from, and what a bundle made of it owes to that."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unikat_training.config import CONFIG
from unikat_training.data.dataset import Source

FROM = "from"  # in a run's config.json, and in `training.config` of a bundle's model.json


@dataclass(frozen=True)
class Origin:
    """What a run records of its parent: whatever becomes of that, it can be exported with the credits that are due."""

    name: str  # "portraits@1"; of a run, its folder's name and how far it had come
    digest: str  # of a bundle's model.json, of a checkpoint's tensors
    path: str
    licence: str = ""  # of the weights
    sources: tuple[Source, ...] = ()  # of the pictures that they were trained on


def origin_of(run: Path) -> Origin | None:
    """What a run began from, if it did not begin from nothing. The run is one that `load_config` has read."""
    recorded = json.loads((run / CONFIG).read_text()).get(FROM)
    if recorded is None:
        return None
    return Origin(**{**recorded, "sources": tuple(Source(**each) for each in recorded["sources"])})


def all_sources(own: Sequence[Source], origin: Origin | None) -> tuple[Source, ...]:
    """The sources of a model's pictures, then its parent's that are others, which say by way of whom they came."""
    if origin is None:
        return tuple(own)
    way = f"by way of {origin.name}"
    others = [s for s in origin.sources if s not in own]
    return (*own, *(s if "by way of" in s.origin else replace(s, origin=f"{s.origin}, {way}") for s in others))


def joint_licence(own: str, origin: Origin | None) -> str:
    """The licence of weights that began with others' (SPDX): both hold."""
    theirs = origin.licence if origin else ""
    terms = own.split(" AND ")
    more = [term for term in theirs.split(" AND ") if term and term not in terms]
    return " AND ".join([*terms, *(f"({term})" if " OR " in term else term for term in more)])
