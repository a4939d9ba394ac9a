"""The settings of a run that begins from a parent: the parent's, but for what fine-tuning does differently."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from unikat_training.config import Config
from unikat_training.errors import TrainingError
from unikat_training.presets import load_preset, preset_settings
from unikat_training.warm_start.parent import Parent

PRESET = "finetune"
NETWORKS = (
    "generator", "discriminator", "latent", "width", "max_width", "depth", "expansion", "group_size",
    "discriminator_width", "discriminator_max_width", "feature_size", "fine_tap", "wide_mixing",
)  # fmt: skip
# Settings that name attributes of the parent's pictures.
OF_ITS_DATA: dict[str, Any] = {"balance_over": "", "unseen": 0.0, "unseen_over": ""}


def finetune_config(parent: Parent, resolution: int, given: Mapping[str, Any]) -> Config:
    """The parent's settings, changed by a preset (`finetune`, or what `given` names), then by `given`.

    Raises TrainingError, naming it, for a setting that would make other networks than the parent's.
    """
    preset = str(given.get("preset") or PRESET)
    networks = network_settings(parent, resolution)
    for name, value in networks.items():
        if name in given and given[name] != value:
            raise TrainingError(
                f"{name}: must be {value}, which {parent.origin.name} was trained with, not {given[name]}: leave it out"
            )
    known = asdict(parent.config)
    wanted = {name: value for name, value in given.items() if name in known}
    changed = {**OF_ITS_DATA, **preset_settings(preset, resolution), **wanted, **networks, "preset": preset}
    return Config(**{**known, **changed})


def begun_config(preset: str, resolution: int) -> Config:
    """The settings of a run that begins from nothing. Raises TrainingError for a preset that needs a parent."""
    if preset == PRESET:
        raise TrainingError(f"preset: {PRESET} says what to do differently from a parent; name one with --from")
    return load_preset(preset, resolution)


def network_settings(parent: Parent, resolution: int) -> dict[str, Any]:
    """Those that decide the networks. At another resolution the widths are such that every stage but the last fits."""
    config = asdict(parent.config)
    settings = {name: config[name] for name in NETWORKS}
    for name in ("width", "discriminator_width"):
        if config["generator"] != "plain":
            settings[name] = max(1, round(config[name] * parent.resolution / resolution))
    if config["discriminator"] == "projected":
        settings["feature_size"] = max(config["feature_size"], resolution)
        settings["seed"] = config["seed"]  # the random mixing of its features, which the heads have learnt, follows
    return settings
