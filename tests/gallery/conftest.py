"""One stack with a gallery for all tests of a process; tests with a browser where one is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gallery.site import Site, running_site
from tests.support.chromium import is_wanted

collect_ignore_glob = [] if is_wanted() else ["test_page*.py"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gallery that runs."""
    with running_site(tmp_path_factory.mktemp("gallery")) as running:
        yield running
