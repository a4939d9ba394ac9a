"""A log in a database of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from unikat.transparency import SigningKey
from unikat_registry.database import open_database
from unikat_registry.log import Log

ORIGIN = "registry.example/unikat"
KEY = SigningKey(ORIGIN, bytes(range(32)))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The database, opened."""
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def log(engine: Engine) -> Log:
    """An empty log."""
    return Log(engine, ORIGIN, KEY)
