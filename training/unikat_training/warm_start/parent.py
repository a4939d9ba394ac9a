"""What a run begins from: a bundle that has training weights, or a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unikat.bundle import (
    MANIFEST,
    BundleError,
    digest_of,
    find_bundle,
    key_of,
    list_bundles,
    read_bundle,
)
from unikat_training.card import config_of
from unikat_training.checkpoint import TENSORS, checkpoints, load_checkpoint
from unikat_training.config import CONFIG, Config, load_config
from unikat_training.data.dataset import Attribute, Dataset, Source
from unikat_training.errors import TrainingError
from unikat_training.warm_start.origin import FROM, Origin, all_sources, origin_of
from unikat_training.warm_start.weights_file import PARTS, unpacked


@dataclass(frozen=True)
class Parent:
    """A trained model: its settings, what its networks were built for, and their weights."""

    origin: Origin
    config: Config
    resolution: int
    channels: int  # 3, or 4 with alpha
    attributes: tuple[Attribute, ...]
    tensors: Mapping[str, Tensor]  # by a checkpoint's names: average.…, discriminator.…, auxiliary.…


def find_parent(reference: str, models: Path) -> Parent:
    """The parent that `--from` names: a bundle's or a run's folder, or "name@version" or "name" below `models`.

    Raises TrainingError where there is none, BundleError for a bundle that cannot be used or has no training weights.
    """
    folder = Path(reference)
    if (folder / CONFIG).is_file():
        return parent_from_run(folder)
    if (folder / MANIFEST).is_file():
        return parent_from_bundle(folder)
    try:
        found = find_bundle(models, reference)
    except ValueError:
        found = None
    if found is None:
        known = ", ".join(f"{path.parent.name}@{path.name}" for path in list_bundles(models)) or "none"
        raise TrainingError(
            f"--from: {reference} is no folder of a bundle or a run, and no model below {models} (there: {known})"
        )
    return parent_from_bundle(found)


def parent_from_bundle(path: Path) -> Parent:
    bundle = read_bundle(path)
    model = bundle.model
    tensors = unpacked(bundle.training_weights())
    attributes = [
        Attribute(a.name, a.description, tuple(c.name for c in a.categories), tuple(c.count for c in a.categories))
        for a in model.attributes
    ]
    sources = tuple(Source(s.name, s.origin, s.licence, s.credit) for s in model.sources)
    origin = Origin(key_of(model), model.digest, str(path.resolve()), model.licence, sources)
    return Parent(origin, config_of(model), model.width, model.channels or 3, tuple(attributes), tensors)


def parent_from_run(run: Path) -> Parent:
    """As it is at its latest checkpoint. Its data set must still be where it was."""
    config, described = load_config(run)
    found = checkpoints(run)
    if not found:
        raise TrainingError(f"--from: {run} has no checkpoint yet; train it first")
    progress, tensors = load_checkpoint(found[-1], torch.device("cpu"))
    data = Dataset.load(described["path"], verify=False)
    origin = Origin(
        f"{run.resolve().name} at {progress.images:,} images",
        digest_of(found[-1] / TENSORS),
        str(run.resolve()),
        sources=all_sources(data.sources, origin_of(run)),
    )
    kept = {name: value for name, value in tensors.items() if name.startswith(PARTS)}
    return Parent(origin, config, data.resolution, data.channels, data.attributes, kept)


def recorded(parent: Parent | None) -> dict[str, Any]:
    """What of a parent is written into the configuration of a run that begins."""
    return {FROM: asdict(parent.origin)} if parent else {}


def check_same_origin(run: Path, parent: Parent) -> None:
    """Raises TrainingError when `run` was begun from something else than `parent`."""
    begun = origin_of(run)
    if begun is None or begun.digest != parent.origin.digest:
        told = f"from {begun.name} ({begun.digest[:19]})" if begun else "from nothing"
        raise TrainingError(
            f"{run}: was begun {told}, not from {parent.origin.name} ({parent.origin.digest[:19]}): go on without "
            "--from, or choose another --run"
        )


def recorded_parent(run: Path) -> Parent | None:
    """The parent of a run, found again where it was. Raises TrainingError where it is not what it was."""
    origin = origin_of(run)
    if origin is None:
        return None
    try:
        parent = find_parent(origin.path, Path(origin.path).parent)
    except (BundleError, TrainingError) as error:
        raise TrainingError(f"{run}: its parent {origin.name} cannot be read again: {error}") from error
    check_same_origin(run, parent)
    return parent
