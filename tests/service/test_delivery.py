"""What is published arrives once and in order, whatever happens to the inbox, to Redis, and to the service."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.calls import indices
from tests.service.conftest import Serving, serving_on
from tests.support.processes import eventually, stopped
from tests.support.valkey import Valkey
from unikat.queue.inbox import TTL_S
from unikat.v1.studio_pb2 import GenerateRequest


@contextmanager
def forgotten(valkey: Valkey) -> Iterator[None]:
    """What happens to Redis in the block is lost at its end, as in a failover to a replica that lagged."""
    backup = Path(f"{valkey.directory}-before")
    valkey.kill()
    shutil.copytree(valkey.directory, backup, ignore=shutil.ignore_patterns("*.sock"))
    valkey.start()
    try:
        yield
    finally:
        valkey.kill()
        shutil.copytree(backup, valkey.directory, dirs_exist_ok=True)
        shutil.rmtree(backup)
        valkey.start()


def inbox_of(serving: Serving) -> bytes:
    (inbox,) = serving.redis.scan_iter("unikat:inbox:*")
    assert isinstance(inbox, bytes)
    return inbox


@pytest.mark.parametrize("lags", [True, False])
def test_a_redis_that_went_back_in_time_costs_no_image_and_doubles_none(durable: Serving, lags: bool) -> None:
    call = durable.generate(GenerateRequest(model="tiny", count=40), timeout=60)
    taken = durable.hand.take()
    taken.publish(*range(10))
    assert next(call).HasField("accepted")
    assert [next(call).artwork.index for _ in range(10)] == list(range(10))
    if lags:
        with stopped(durable.program):
            with forgotten(durable.valkey):
                taken.publish(*range(10, 20))
            assert taken.publish(*range(20, 30)).last == 10, "published behind a hole"
            taken.publish(*range(10, 40))
    else:
        with forgotten(durable.valkey):
            taken.publish(*range(10, 20))
            assert [next(call).artwork.index for _ in range(10)] == list(range(10, 20))
        taken.publish(*range(10, 40))
    taken.finish()
    assert indices(call) == list(range(20 - 10 * lags, 40))


def test_images_that_are_too_large_for_an_inbox_come_from_the_stream_at_once(shared: Serving) -> None:
    call = shared.generate(GenerateRequest(model="tiny", count=16))
    taken = shared.hand.take(image_size=10_000)
    assert next(call).HasField("accepted")
    begin = time.monotonic()
    for index in range(0, 16, 2):
        taken.publish(index, index + 1)
        assert [next(call).artwork.index for _ in range(2)] == [index, index + 1]
    assert time.monotonic() - begin < 4, "it was a look after a second that found them, eight times"
    taken.finish()
    assert indices(call) == []


def test_an_inbox_that_was_trimmed_or_lost_costs_a_moment(serving: Serving) -> None:
    call = serving.generate(GenerateRequest(model="tiny", count=30))
    taken = serving.hand.take()
    assert next(call).HasField("accepted")
    inbox = inbox_of(serving)
    with stopped(serving.program):
        taken.publish(*range(10))
        taken.publish(*range(10, 20))
        serving.redis.xtrim(inbox, maxlen=1, approximate=False)
    assert [next(call).artwork.index for _ in range(20)] == list(range(20))
    serving.redis.delete(inbox)
    taken.publish(*range(20, 30))
    taken.finish()
    assert indices(call) == list(range(20, 30))
    eventually(lambda: serving.redis.exists(inbox))
    assert 0 < serving.redis.ttl(inbox) <= TTL_S


def test_the_inbox_does_not_grow_and_ends_with_the_service(valkey: Valkey) -> None:
    with serving_on(valkey) as serving:
        inbox = inbox_of(serving)
        call = serving.generate(GenerateRequest(model="tiny", count=1000))
        taken = serving.hand.take()
        for index in range(1000):
            taken.publish(index)
        taken.finish()
        assert indices(call) == list(range(1000))
        eventually(lambda: serving.redis.xlen(inbox) < 200)  # with the next beat; whole nodes of it only
        assert serving.program.terminate() == 0
        assert not serving.redis.exists(inbox)


def test_what_a_cancelled_call_was_to_get_does_not_stay_in_memory(serving: Serving) -> None:
    slow = serving.generate(GenerateRequest(model="tiny", count=400), timeout=60)
    taken = serving.hand.take(image_size=100_000)
    for index in range(0, 400, 10):
        taken.publish(*range(index, index + 10))
    assert next(slow).HasField("accepted")
    slow.cancel()
    follower = serving.generate(GenerateRequest(model="tiny", count=400), timeout=60)
    second = serving.hand.take(image_size=100_000)
    second.complete()
    assert indices(follower) == list(range(400))
