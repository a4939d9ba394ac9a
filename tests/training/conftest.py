"""Runs that several tests of training look at; they change nothing in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.making import TINY, operation, write_dataset
from unikat_training.loop import train


@pytest.fixture(scope="session")
def conditional_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on shapes and colours; its data set lies beside it as `shapes`."""
    folder = tmp_path_factory.mktemp("conditional")
    train(write_dataset(folder / "shapes"), folder / "run", TINY, operation(40))
    return folder / "run"


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without labels."""
    folder = tmp_path_factory.mktemp("plain")
    train(write_dataset(folder / "shapes", plain=True), folder / "run", TINY, operation(40))
    return folder / "run"
