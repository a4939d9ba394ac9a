"""One stack with a gallery for all tests of a process; tests with a browser where one is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gallery.site import Site, running_site
from tests.provenance.registering import Registering, registering
from tests.support.chromium import is_wanted

collect_ignore_glob = [] if is_wanted() else ["test_page*.py"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gallery that runs."""
    with running_site(tmp_path_factory.mktemp("gallery")) as running:
        yield running


@pytest.fixture(scope="session")
def registry(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registering]:
    """A registry above the same stack."""
    with registering(site.stack, tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def claiming_site(site: Site, registry: Registering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A second gallery, in which works can be claimed."""
    with Site(site.stack, tmp_path_factory.mktemp("claiming"), registry.target).running() as running:
        yield running
