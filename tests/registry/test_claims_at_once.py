"""Near copies that are claimed at the same moment: one is the work, and the other one is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from benchmarks.claims import artwork_of, order, random_pixels
from unikat.errors import UnikatError
from unikat_registry.claims import Claims
from unikat_registry.gallery import Gallery, View
from unikat_registry.log import Log

CLAIMED, SHARED = 4, (True, False)


class Meeting(Gallery):
    """A gallery in which claims wait for one another, when they have looked and before any of them enters."""

    def __init__(self, meeting: threading.Barrier) -> None:
        super().__init__()
        self._meeting = meeting
        self._met = threading.local()

    def view(self, session: Session) -> View:
        found = super().view(session)
        if not hasattr(self._met, "once"):
            self._met.once = True
            self._meeting.wait(60)
        return found


@pytest.mark.parametrize("is_shared", SHARED, ids=["one process", "processes of their own"])
def test_of_near_copies_that_are_claimed_at_once_one_is_entered(engine: Engine, log: Log, is_shared: bool) -> None:
    pixels = random_pixels(np.random.default_rng(1))
    copies = [artwork_of(pixels + np.uint8(each), each) for each in range(CLAIMED)]
    meeting = threading.Barrier(CLAIMED)
    galleries = [Meeting(meeting)] * CLAIMED if is_shared else [Meeting(meeting) for _ in range(CLAIMED)]
    with ThreadPoolExecutor(CLAIMED) as pool:
        claiming = [
            pool.submit(Claims(engine, log, gallery).claim, *order(artwork))
            for gallery, artwork in zip(galleries, copies, strict=True)
        ]
    refused = [each.exception() for each in claiming if each.exception() is not None]
    assert len(refused) == CLAIMED - 1
    for error in refused:
        assert isinstance(error, UnikatError)
        assert error.reason == "NEAR_WORK"
    assert log.size() == 1
