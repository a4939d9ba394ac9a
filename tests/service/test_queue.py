"""What calls do to Redis: which queue, in how many round trips, and what they leave behind."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import grpc
import pytest
from redis import Redis
from rq.job import Job

from tests.service.by_hand import described
from tests.service.calls import indices, refusal_of
from tests.service.conftest import Serving
from tests.support.processes import eventually, stopped
from tests.support.tiny_model import tiny_model
from unikat.errors import Cancelled, Overloaded, Reason, Unavailable
from unikat.queue.calls import DONE_TTL_S
from unikat.queue.keys import leases_key
from unikat.queue.stream import stream_key
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import GenerateRequest, GetModelRequest
from unikat_service.context import CLIENT_NAME


def keys_of(job_id: str) -> list[str]:
    """What a finished job has in Redis."""
    return [Job.key_for(job_id), f"rq:results:{job_id}", stream_key(job_id)]


def scripts_run(redis: Redis) -> int:
    stats = cast(dict[str, dict[str, int]], redis.info("commandstats"))
    return stats.get("cmdstat_evalsha", {"calls": 0})["calls"]


@pytest.fixture
def wish() -> GenerateRequest:
    """A request with an id of its own."""
    return GenerateRequest(model="tiny", count=2, request_id=str(uuid.uuid4()))


def test_sixty_four_calls_of_one_moment_are_few_round_trips(serving: Serving) -> None:
    with stopped(serving.program):
        calls = [serving.generate(GenerateRequest(model="tiny", count=1)) for _ in range(64)]
        time.sleep(0.5)  # until all requests are in the service's socket; there is nothing to wait for
        before = scripts_run(serving.redis)
    eventually(lambda: len(serving.hand.queued) == 64)
    assert scripts_run(serving.redis) - before < 56
    for _ in calls:
        serving.hand.take().complete()
    assert [indices(call) for call in calls] == [[0]] * 64
    assert len(list(serving.redis.scan_iter("rq:job:*"))) == 64


def test_results_go_soon_after_all_who_wait_for_them_have_the_end(shared: Serving, wish: GenerateRequest) -> None:
    calls = [shared.generate(wish), shared.generate(wish)]
    assert len({next(call).accepted.job_id for call in calls}) == 1
    taken = shared.hand.take()
    taken.publish(0)
    assert [next(call).artwork.index for call in calls] == [0, 0]
    assert shared.redis.scard(leases_key(taken.job_id)) == 2
    calls[1].cancel()
    eventually(lambda: shared.redis.scard(leases_key(taken.job_id)) == 1)
    taken.publish(1)
    taken.finish()
    assert indices(calls[0]) == [1]
    eventually(lambda: all(0 < shared.redis.ttl(key) <= DONE_TTL_S for key in keys_of(taken.job_id)))
    assert not shared.redis.exists(leases_key(taken.job_id))


def test_results_stay_while_somebody_else_still_waits(shared: Serving, wish: GenerateRequest) -> None:
    fast = shared.generate(wish)
    taken = shared.hand.take()
    shared.redis.sadd(leases_key(taken.job_id), f"{_other_service(shared.redis)}/0")
    taken.complete()
    assert indices(fast) == [0, 1]
    eventually(lambda: shared.redis.scard(leases_key(taken.job_id)) == 1)
    assert all(shared.redis.ttl(key) > 500 for key in keys_of(taken.job_id))


def test_a_caller_of_another_service_keeps_a_cancelled_job(shared: Serving, wish: GenerateRequest) -> None:
    call = shared.generate(wish)
    job_id = next(call).accepted.job_id
    shared.redis.sadd(leases_key(job_id), f"{_other_service(shared.redis)}/0", "service-that-died/7")
    call.cancel()
    eventually(lambda: shared.redis.scard(leases_key(job_id)) == 1)
    assert shared.hand.queued == [job_id]
    assert not shared.redis.exists(stream_key(job_id))
    shared.hand.take().complete()


def _other_service(redis: Redis) -> str:
    redis.xadd("unikat:inbox:other-service", {"j": ""})
    redis.expire("unikat:inbox:other-service", 60)
    return "other-service"


def test_a_store_that_fills_up_refuses_new_calls_and_finishes_those_under_way(
    serving: Serving, wish: GenerateRequest
) -> None:
    call = serving.generate(wish)
    taken = serving.hand.take()
    taken.publish(0)
    for number in range(200):
        serving.redis.set(f"ballast:{number}", bytes(100_000))
    used = cast(dict[str, int], serving.redis.info("memory"))["used_memory"]
    serving.redis.config_set("maxmemory", int(used / 0.9))

    def refused() -> bool:
        probe = serving.generate(GenerateRequest(model="tiny", count=1))
        try:
            next(probe)
            probe.cancel()
        except grpc.RpcError:
            return True
        return False

    eventually(refused)
    error = refusal_of(serving.generate, GenerateRequest(model="tiny", count=1))
    assert isinstance(error, Overloaded)
    assert error.reason == Reason.STORE_FULL
    assert error.retry_after
    joined = serving.generate(wish)
    taken.publish(1)
    taken.finish()
    assert indices(joined) == indices(call) == [0, 1]
    serving.redis.config_set("maxmemory", 0)
    eventually(lambda: not refused())


def test_every_caller_has_jobs_of_a_model_in_a_queue_of_its_own(shared: Serving) -> None:
    call = shared.generate(GenerateRequest(model="tiny", count=1))
    taken = shared.hand.take()
    assert taken.taken.queue == f"unikat:tiny@1.{taken.job.digest.removeprefix('sha256:')[:12]}.default"
    taken.complete()
    assert indices(call) == [0]


def test_connections_that_are_cut_lose_no_job_and_double_none(serving: Serving) -> None:
    done = threading.Event()

    def cut() -> None:
        with serving.valkey.client() as redis:
            while not done.wait(0.1):
                for client in cast(list[dict[str, str]], redis.client_list()):
                    if client["name"] == CLIENT_NAME:
                        redis.client_kill_filter(_id=client["id"])

    def draw(_: int) -> str:
        request = GenerateRequest(model="tiny", request_id=str(uuid.uuid4()))
        while True:
            try:
                return serving.stub.Draw(request, timeout=30).accepted.job_id
            except grpc.RpcError as error:
                if cast(grpc.Call, error).code() != grpc.StatusCode.UNAVAILABLE:
                    raise

    def work() -> None:
        with serving.valkey.client() as redis:
            hand = type(serving.hand)(redis)
            hand.models = serving.hand.models
            while not done.is_set():
                try:
                    hand.take().complete()
                except AssertionError:  # there is nothing to do
                    continue

    with ThreadPoolExecutor(18) as threads:
        cutting, working = threads.submit(cut), threads.submit(work)
        try:
            jobs = list(threads.map(draw, range(200)))
        finally:
            done.set()
        cutting.result()
        working.result()
    assert len(set(jobs)) == 200


@pytest.fixture
def rolling(serving: Serving) -> tuple[Model, Model]:
    """Two versions of a model; three workers serve the first."""
    first, second = (described(tiny_model("roll", version)) for version in (1, 2))
    for name in ("a", "b", "c"):
        serving.hand.announce(first, name=name)
    return first, second


def test_a_name_moves_to_a_version_that_half_of_its_workers_have(
    serving: Serving, rolling: tuple[Model, Model]
) -> None:
    first, second = rolling

    def version() -> int:
        return serving.stub.GetModel(GetModelRequest(name="roll")).version

    serving.hand.announce(first, second, name="a")
    eventually(lambda: serving.stub.GetModel(GetModelRequest(name="roll@2")).version == 2)
    assert version() == 1
    serving.hand.announce(second, name="b")
    eventually(lambda: version() == 2)


def test_a_version_of_two_digests_is_the_one_that_most_workers_serve(
    serving: Serving, rolling: tuple[Model, Model]
) -> None:
    first, _ = rolling
    other = tiny_model("roll", 1)
    other.description = "Another."
    serving.hand.announce(described(other), name="a")
    time.sleep(1.5)  # a refresh
    assert serving.stub.GetModel(GetModelRequest(name="roll")).digest == first.digest
    serving.hand.announce(other, name="b")
    eventually(lambda: serving.stub.GetModel(GetModelRequest(name="roll")).digest == other.digest)


def test_a_call_whose_model_nobody_serves_any_more_is_told_so(impatient: Serving) -> None:
    serving = impatient
    gone = described(tiny_model("gone", 1))
    serving.hand.announce(gone, name="w2")
    request = GenerateRequest(model="gone", count=1, request_id="g")
    call = serving.generate(request)
    assert next(call).HasField("accepted")
    serving.hand.bury("w2")
    error = refusal_of(iter, call)
    assert isinstance(error, Unavailable)
    assert error.reason == Reason.NO_WORKER
    assert "gone@1" in str(error)
    eventually(lambda: serving.hand.queued == [])
    serving.hand.announce(gone, name="w2")  # it comes back after all
    eventually(lambda: serving.stub.GetModel(GetModelRequest(name="gone")).version == 1)
    again = serving.generate(request)
    serving.hand.take().complete()
    assert indices(again) == [0]


def test_a_job_that_an_operator_cancels_ends_its_call(shared: Serving) -> None:
    call = shared.generate(GenerateRequest(model="tiny", count=1))
    taken = shared.hand.take()
    taken.settle("canceled")
    assert isinstance(refusal_of(iter, call), Cancelled)
