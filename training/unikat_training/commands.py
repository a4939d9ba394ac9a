"""What `unikat` is told of this package without importing it."""

import logging
import os
from functools import partial

import typer

from unikat.cli.commands import Command
from unikat.printable import log_to_stderr


def _log() -> None:
    log_to_stderr(logging.WARNING, "%(levelname)s: %(message)s")
    logging.getLogger(__package__).setLevel(logging.INFO)


def load() -> typer.Typer:
    """The program, its log on standard error, torch loaded as training wants it."""
    _log()
    # Threads that wait must sleep, not spin: on cores shared with other programs, spinning made training 5 to 8 times
    # slower. OpenMP reads this when torch is loaded, so it is set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from unikat_training.cli import app

    return app


def load_prepare() -> typer.Typer:
    """What of the program needs no torch, which takes seconds to import."""
    _log()
    from unikat_training.data.commands import app as prepare

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.add_typer(prepare, name="prepare")
    return app


_offered = partial(Command, extras=("training",), load=load)

fit = _offered("From a folder of pictures to a model that serves: prepare, train, measure, export.")
prepare = _offered("Prepare a data set: pictures in, one array file and a JSON out.", load=load_prepare)
train = _offered("Train, or go on training. Stop with Ctrl-C or SIGTERM: a checkpoint is written first.")
evaluate = _offered("Measure a bundle: similarity to real pictures, condition accuracy, diversity, copies, blends.")
export = _offered(
    "Write a checkpoint as a model bundle: one ONNX file, checked against torch, with samples and a card."
)
invert = _offered(
    "Find a recipe whose drawing comes near a picture: the nearest of many points, then its latent optimised."
)
presets = _offered("List the presets, or print one.")


def load_import() -> typer.Typer:
    """The program that needs no torch."""
    from unikat_training.imported.command import app

    return app


import_model = Command(
    "Make a bundle of an ONNX generator from elsewhere: wrapped, compared with the original, with a sheet and a card.",
    ("import", "training"),
    load_import,
)
