"""Settings that were changed while a run went on: each change is recorded in its `config.json`, and cards tell it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unikat_training.checkpoint import checkpoints
from unikat_training.config import CHANGEABLE, CONFIG, SETTINGS, Config, load_config
from unikat_training.errors import TrainingError
from unikat_training.renamed import current_settings


@dataclass(frozen=True)
class Change:
    """What was changed when `images` had been shown: name -> value before and after."""

    images: int
    settings: dict[str, tuple[Any, Any]]

    def __str__(self) -> str:
        told = ", ".join(f"{name} from {old!r} to {new!r}" for name, (old, new) in self.settings.items())
        return f"At {self.images:,} images settings were changed: {told}."


def load_changes(run: Path) -> list[Change]:
    """Oldest first. The run is one that `load_config` has read."""
    return parse_changes(json.loads((run / CONFIG).read_text()))


def parse_changes(document: Mapping[str, Any]) -> list[Change]:
    """Those recorded in a run's or a bundle's configuration."""
    settings = [(c["images"], current_settings(c["settings"])) for c in document.get("changes", [])]
    return [Change(images, {name: (old, new) for name, (old, new) in of.items()}) for images, of in settings]


def change_config(run: Path, config: Config) -> None:
    """From its latest checkpoint on, `run` has these settings.

    Raises TrainingError, naming them, for settings that cannot be changed.
    """
    begun, _ = load_config(run)
    old, new = asdict(begun), asdict(config)
    settings = {name: (old[name], new[name]) for name in old if old[name] != new[name]}
    changeable = [name for name, says in SETTINGS.items() if CHANGEABLE in says]
    fixed = sorted(set(settings) - set(changeable))
    if bool(begun.auxiliary) != bool(config.auxiliary):
        fixed.append("auxiliary from or to 0")  # the classifier is a network of the checkpoint
    if fixed:
        raise TrainingError(f"--change: {', '.join(fixed)} cannot be changed in a run; {', '.join(changeable)} can")
    if not settings:
        return
    found = checkpoints(run)
    images = int(found[-1].name) * begun.batch if found else 0  # checkpoints are named by their step
    document = json.loads((run / CONFIG).read_text())
    document["config"] = new
    document["changes"] = [*map(asdict, (*load_changes(run), Change(images, settings)))]
    temporary = run / f".{CONFIG}"
    temporary.write_text(json.dumps(document, indent=2) + "\n")
    temporary.replace(run / CONFIG)
