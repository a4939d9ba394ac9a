"""A rolling upgrade from the release before, with calls in flight all the time: no call notices."""

from __future__ import annotations

import pytest

from tests.tools.upgrade import ROOT, Release, checked_out, release_before, upgrade

SECONDS, MODEL = 6.0, "emoji@2"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_services_and_workers_of_two_releases_replace_each_other_under_load() -> None:
    commit = release_before()
    with checked_out(commit) as release:
        callers = upgrade(release, Release(ROOT), MODEL, SECONDS)
    print(f"\nfrom {commit}: {sum(callers.calls.values())} calls in {len(callers.calls)} phases, of either service")
    assert callers.problems == []
    phases = {phase for phase, _ in callers.calls}
    assert len(phases) == 7, phases  # work was in flight in each
