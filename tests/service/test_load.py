"""Many calls, slow callers, a full queue: nobody waits for somebody else, and memory stays flat."""

from __future__ import annotations

import uuid
from typing import cast

import grpc
import psutil

from tests.service.calls import Responses, indices, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.support.processes import eventually
from tests.support.valkey import Valkey
from unikat.errors import Overloaded, Reason
from unikat.v1.studio_pb2 import GenerateRequest


def memory_of(serving: Serving) -> int:
    """Bytes of the service process."""
    return int(psutil.Process(serving.program.process.pid).memory_info().rss)


def test_a_full_queue_says_when_to_come_back_and_lets_callers_join(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_MAX_QUEUE="3") as serving:
        waiting, positions = [], []
        for n in range(3):
            waiting.append(serving.generate(GenerateRequest(model="tiny", count=1, request_id=f"r{n}")))
            positions.append(next(waiting[-1]).accepted.queue_position)
        assert positions == [0, 1, 2]
        for request_id in ("", "r3"):
            wish = GenerateRequest(model="tiny", count=1, request_id=request_id)
            error = refusal_of(serving.generate, wish)
            assert isinstance(error, Overloaded)
            assert error.reason == Reason.QUEUE_FULL
            assert error.retry_after is not None
            assert 0 < error.retry_after <= 60
        assert len(serving.hand.queued) == 3
        joined = serving.generate(GenerateRequest(model="tiny", count=1, request_id="r1"))
        assert next(joined).accepted.queue_position == 1
        for _ in range(3):
            serving.hand.take().complete()
        assert [indices(call) for call in (*waiting, joined)] == [[0]] * 4


def test_a_slow_caller_does_not_hold_up_a_fast_one(serving: Serving) -> None:
    wish = GenerateRequest(model="tiny", count=600)
    # Calls of one channel share a connection and its flow control; callers on machines of their own do not.
    with grpc.insecure_channel(serving.target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        slow = cast(Responses, type(serving.stub)(channel).Generate(wish, timeout=60))
        slow_job = serving.hand.take(100_000)
        fast = serving.generate(wish, timeout=60)
        fast_job = serving.hand.take(100_000)
        assert next(slow).accepted.job_id == slow_job.job_id
        before = memory_of(serving)
        for begin in range(0, 600, 50):
            slow_job.publish(*range(begin, begin + 50))
            fast_job.publish(*range(begin, begin + 50))
        fast_job.finish()
        assert indices(fast) == list(range(600))
        assert memory_of(serving) - before < 45 * 2**20, "60 MB wait for the slow caller, but not in the service"
        slow_job.finish()
        assert indices(slow) == list(range(600))


def test_two_hundred_calls_at_once_get_every_image_once_and_in_order(serving: Serving) -> None:
    calls = [serving.generate(GenerateRequest(model="tiny", count=1 + n % 32), timeout=60) for n in range(200)]
    jobs = [serving.hand.take() for _ in calls]
    for index in range(32):
        for job in jobs:
            if index < job.job.count:
                job.publish(index)
    for job in jobs:
        job.finish()
    for n, call in enumerate(calls):
        assert indices(call) == list(range(1 + n % 32))


def test_memory_stays_flat_over_images_joins_and_cancellations(serving: Serving) -> None:
    def load() -> int:
        for _ in range(2):
            wish = GenerateRequest(model="tiny", count=500, request_id=str(uuid.uuid4()))
            calls = [serving.generate(wish), serving.generate(wish)]
            serving.hand.take(20_000).complete()
            assert [len(indices(call)) for call in calls] == [500, 500]
            for _ in range(50):
                cancelled = serving.generate(GenerateRequest(model="tiny", count=1))
                next(cancelled)
                cancelled.cancel()
            eventually(lambda: serving.hand.queued == [])
        return memory_of(serving)

    load()
    warmed_up = load()
    assert load() - warmed_up < 4 * 2**20
