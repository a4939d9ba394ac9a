"""Fixtures that every folder of tests can use."""

import secrets
import signal

import pytest

# A shell starts what runs in its background with Ctrl-C ignored, and the programs that the tests interrupt inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.support.valkey", "tests.support.postgres"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: drills inject faults for minutes (`make drills`), not for seconds (`make test`). `--seed` replays."""
    parser.addoption("--seed", type=int, help="of the faults that a drill draws; it prints the one that it takes")
    parser.addoption("--long", action="store_true", help="drills of minutes, with as many faults as the docs report")


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether drills run for as long as docs/guarantees.md reports."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def drill_seed(request: pytest.FixtureRequest) -> int:
    """What the faults of a drill are drawn from."""
    given: int | None = request.config.getoption("--seed")
    return secrets.randbits(31) if given is None else given
