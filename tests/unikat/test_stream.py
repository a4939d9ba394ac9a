"""What the server itself refuses is what makes images arrive once."""

from __future__ import annotations

import pytest
from redis import Redis, ResponseError

from unikat.queue.stream import END_ID, artwork_id, finished_id, is_refusal


@pytest.mark.parametrize("last", [artwork_id(4), finished_id(5), END_ID])
def test_nothing_is_published_twice_or_behind_an_end(redis: Redis, last: str) -> None:
    redis.xadd("stream", {"r": b"first"}, id=last)
    for late in (artwork_id(3), artwork_id(4), last):
        with pytest.raises(ResponseError) as refused:
            redis.xadd("stream", {"r": b"second"}, id=late)
        assert is_refusal(refused.value)
    assert redis.xlen("stream") == 1


def test_another_error_is_no_refusal(redis: Redis) -> None:
    redis.set("text", "no stream")
    with pytest.raises(ResponseError) as wrong:
        redis.xadd("text", {"r": b"first"}, id=artwork_id(0))
    assert not is_refusal(wrong.value)
