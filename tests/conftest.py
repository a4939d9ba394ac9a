"""Fixtures that every folder of tests can use."""

import signal

import pytest

# A shell starts what runs in its background with Ctrl-C ignored, and the programs that the tests interrupt inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.support.valkey"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: drills inject faults for minutes (`make drills`), not for seconds (`make test`)."""
    parser.addoption("--long", action="store_true", help="drills of minutes, with as many faults as the docs report")


@pytest.fixture(scope="session")
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether drills run for as long as docs/guarantees.md reports."""
    return bool(request.config.getoption("--long"))
