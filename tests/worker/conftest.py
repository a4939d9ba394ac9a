"""Fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.processes import Program
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey, running_valkey
from tests.worker.bench import Bench
from unikat.bundle import Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """tiny@1."""
    return write_tiny_bundle(tmp_path / "models")


@pytest.fixture
def bench(valkey: Valkey, redis: Redis, tmp_path: Path, bundle: Bundle) -> Bench:
    """A bench with tiny@1 and no worker."""
    return Bench(valkey, redis, tmp_path / "models")


@pytest.fixture(scope="module")
def shared_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder for the tests of a module."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def shared_bundle(shared_models: Path) -> Bundle:
    """tiny@1 in it."""
    return write_tiny_bundle(shared_models)


@pytest.fixture(scope="module")
def shared_bench(shared_models: Path, shared_bundle: Bundle) -> Iterator[Bench]:
    """A bench for the tests of a module."""
    with running_valkey() as server, server.client() as client:
        yield Bench(server, client, shared_models)


@pytest.fixture(scope="module")
def shared_worker(shared_bench: Bench) -> Iterator[Program]:
    """A worker on the shared bench: two inference threads, batches of up to 8."""
    with shared_bench.worker(inference_threads=2, max_batch=8) as program:
        yield program
        assert program.process.poll() is None, f"the worker did not survive its tests:\n{program.output}"
