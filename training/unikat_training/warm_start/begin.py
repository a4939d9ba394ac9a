"""How a run begins: with nothing, or with what its parent has learnt."""

import logging
from pathlib import Path

from unikat_training.errors import TrainingError
from unikat_training.state import named, under
from unikat_training.trainer import Trainer
from unikat_training.warm_start.parent import Parent, recorded_parent
from unikat_training.warm_start.tensors import start_from

log = logging.getLogger(__name__)


def begin_from(trainer: Trainer, parent: Parent) -> None:
    """The networks of `trainer` go on from the parent's; optimisers, averages and augmentation begin anew.

    Raises TrainingError where nothing of the parent's generator fits.
    """
    fresh = {name: value for key, each in trainer.networks().items() for name, value in named(key, each).items()}
    start = start_from(parent, fresh, trainer.dataset)
    if not any(name.startswith("generator.") for name in start.kept):
        raise TrainingError(f"nothing of the generator of {parent.origin.name} fits; begin without --from")
    for name, network in trainer.networks().items():
        network.load_state_dict(under(f"{name}.", start.tensors))
    told = f"{len(start.kept)} tensors kept, {len(start.adapted)} adapted, {len(start.new)} new"
    log.info("beginning from %s: %s", parent.origin.name, told)


def begin_as_recorded(run: Path, trainer: Trainer) -> None:
    """Before the first step of `run`: from its parent, if it has one."""
    parent = recorded_parent(run)
    if parent is not None:
        begin_from(trainer, parent)
