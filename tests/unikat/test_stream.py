"""What the server itself refuses is what makes images arrive once."""

from __future__ import annotations

import pytest
from redis import Redis, ResponseError

from unikat.queue.stream import END_ID


@pytest.mark.parametrize("last", ["5-0", "6-0", END_ID])
def test_nothing_is_published_twice_or_behind_an_end(redis: Redis, last: str) -> None:
    redis.xadd("stream", {"r": b"first"}, id=last)
    for late in ("4-0", "5-0", last):
        with pytest.raises(ResponseError, match=r"ID specified in XADD|exhausted the last possible ID"):
            redis.xadd("stream", {"r": b"second"}, id=late)
    assert redis.xlen("stream") == 1
