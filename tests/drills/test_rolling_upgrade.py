"""A rolling upgrade from the release before, with calls in flight all the time: no call notices."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.support.tiny_model import write_tiny_bundle
from tests.tools.upgrade import ROOT, Release, checked_out, release_before, upgrade

SECONDS: Final = 6.0  # of a phase


@pytest.mark.long
@pytest.mark.timeout(900)
def test_services_and_workers_of_two_releases_replace_each_other_under_load(tmp_path: Path) -> None:
    for version in (1, 2):
        write_tiny_bundle(tmp_path, version=version, work=200)
    commit = release_before()
    with checked_out(commit) as release:
        callers = upgrade((release, Release(ROOT)), tmp_path, "tiny", SECONDS)
    calls = f"{sum(callers.calls.values())} calls in {len(callers.calls)} phases, of either service"
    print(f"\nfrom {commit}: {calls}, by {callers.version}")
    assert callers.problems == []
    phases = {phase for phase, _ in callers.calls}
    assert len(phases) == 7, phases  # work was in flight in each
