"""Names of earlier versions: what reads runs, checkpoints, bundles and flags translates them to today's here.

Files are not rewritten for it: those of released bundles have published digests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from unikat_training.errors import TrainingError

Value = TypeVar("Value")

# In `config.json`, in `training.config` of a bundle's `model.json`, and as flags of `train`.
SETTINGS = {
    "critic": "discriminator",
    "critic_width": "discriminator_width",
    "critic_max_width": "discriminator_max_width",
    "mismatch": "wrong_label_weight",
    "mismatch_one": "wrong_label_one_attribute",
    "twins_together": "grouped_split",
}
RETIRED = {"accumulate"}  # settings that change nothing any more
# In checkpoints; applied one after the other.
TENSORS = (
    (re.compile(r"^(adam\.)?heads\."), r"\1discriminator."),
    (re.compile(r"^(discriminator\.(?:heads\.\d+\.)?)judge\."), r"\1to_logits."),
    (re.compile(r"^auxiliary\.decide\."), "auxiliary.to_logits."),
)


def current_settings(recorded: Mapping[str, Value]) -> dict[str, Value]:
    """Settings by today's names. Raises TrainingError where one is there by both of its names."""
    for old, new in SETTINGS.items():
        if old in recorded and new in recorded:
            raise TrainingError(f"{old}: is the earlier name of {new}; give only {new}")
    return {SETTINGS.get(name, name): value for name, value in recorded.items() if name not in RETIRED}


def current_tensors(saved: Mapping[str, Value]) -> dict[str, Value]:
    """A checkpoint's tensors by today's names."""
    return {current_tensor(name): value for name, value in saved.items()}


def current_tensor(name: str) -> str:
    for pattern, replacement in TENSORS:
        name = pattern.sub(replacement, name)
    return name
