"""Generate: what arrives, and what repeated, resumed, joined and cancelled calls do to the one job behind them."""

from __future__ import annotations

import time
import uuid
from typing import cast

import grpc
import pytest
from google.rpc.code_pb2 import Code
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.service.by_hand import image_of
from tests.service.calls import Responses, code_of, indices, refusal_of
from tests.service.conftest import Serving
from tests.support.processes import eventually
from unikat.errors import Cancelled, DeadlineExceeded, InvalidRequest, JobFailed, Reason
from unikat.queue.stream import END_ID, stream_key
from unikat.v1.studio_pb2 import Condition, GenerateRequest, ImageFormat


@pytest.fixture
def wish() -> GenerateRequest:
    """A request with an id of its own."""
    return GenerateRequest(model="tiny", count=4, request_id=str(uuid.uuid4()))


def resumed(request: GenerateRequest, after: int) -> GenerateRequest:
    again = GenerateRequest()
    again.CopyFrom(request)
    again.after_index = after
    return again


def status_of(redis: Redis, job_id: str) -> str | None:
    """RQ's status of a job; None if there is no such job."""
    if not Job.exists(job_id, connection=redis):
        return None
    return Job.fetch(job_id, connection=redis, serializer=JSONSerializer).get_status().value


def ended(redis: Redis, job_id: str) -> bool:
    """Whether nothing can be published any more."""
    last = cast(list[tuple[bytes, object]], redis.xrevrange(stream_key(job_id), count=1))
    return bool(last) and last[0][0] == END_ID.encode()


def test_a_call_gets_the_accepted_request_every_image_and_the_end(shared: Serving, wish: GenerateRequest) -> None:
    wish.conditions.append(Condition(attribute="style", category="ink"))
    call = shared.generate(wish)
    taken = shared.hand.take()
    taken.complete()
    accepted, *artworks, finished = call
    assert accepted.accepted.job_id == taken.job_id
    assert (accepted.accepted.model, accepted.accepted.model_digest) == ("tiny@1", taken.job.digest)
    assert accepted.accepted.truncation == pytest.approx(0.8)
    assert accepted.accepted.format == ImageFormat.IMAGE_FORMAT_PNG == taken.job.image_format
    assert list(accepted.accepted.conditions) == list(wish.conditions)
    assert taken.job.weights == {"style": {"ink": 1.0}}
    assert [a.artwork.image for a in artworks] == [image_of(i) for i in range(4)]
    assert finished.finished.count == 4


def test_images_arrive_while_later_ones_are_not_drawn_yet(shared: Serving, wish: GenerateRequest) -> None:
    call = shared.generate(wish)
    taken = shared.hand.take()
    assert next(call).HasField("accepted")
    for index in range(4):
        taken.publish(index)
        assert next(call).artwork.index == index
    taken.finish()
    assert next(call).HasField("finished")


def test_a_seed_that_is_left_out_is_picked_and_reported(shared: Serving) -> None:
    seeds = set()
    for _ in range(3):
        call = shared.generate(GenerateRequest(model="tiny", count=1))
        taken = shared.hand.take()
        taken.complete()
        responses = list(call)
        assert responses[0].accepted.seed == taken.job.seed == responses[1].artwork.seed
        seeds.add(taken.job.seed)
    assert len(seeds) == 3


def test_the_same_request_id_is_the_same_job_with_the_same_seed(shared: Serving, wish: GenerateRequest) -> None:
    first = shared.generate(wish)
    taken = shared.hand.take()
    second = shared.generate(wish)
    assert next(second).accepted.job_id == taken.job_id
    taken.complete()
    responses = list(first)
    assert [r.artwork for r in responses[1:-1]] == [r.artwork for r in list(second)[:-1]]
    # Long after its end, too: the result is still there.
    third = list(shared.generate(wish))
    assert third[0].accepted.seed == responses[0].accepted.seed
    assert third[1:] == responses[1:]
    assert shared.hand.queued == []


def test_a_request_id_cannot_be_used_for_something_else(shared: Serving, wish: GenerateRequest) -> None:
    first = shared.generate(wish)
    assert next(first).HasField("accepted")  # else the other one may be the first
    other = GenerateRequest(model="tiny", count=5, request_id=wish.request_id)
    error = refusal_of(shared.generate, other)
    assert isinstance(error, InvalidRequest)
    assert error.code == grpc.StatusCode.ALREADY_EXISTS
    assert error.reason == Reason.REQUEST_ID_REUSED
    assert list(error.fields) == ["request_id"]
    shared.hand.take().complete()
    assert indices(first) == [0, 1, 2, 3]


@pytest.mark.parametrize("after", [0, 2, 3])
def test_a_resumed_call_goes_on_after_the_last_image(shared: Serving, wish: GenerateRequest, after: int) -> None:
    first = shared.generate(wish)
    shared.hand.take().complete()
    list(first)
    again = list(shared.generate(resumed(wish, after)))
    assert again[0].HasField("accepted")
    assert indices(again) == list(range(after + 1, 4))
    assert again[-1].HasField("finished")


def test_a_call_that_joins_late_gets_everything_while_the_first_goes_on(shared: Serving, wish: GenerateRequest) -> None:
    wish.count = 200
    first = shared.generate(wish)
    taken = shared.hand.take()
    taken.publish(*range(100))
    assert next(first).HasField("accepted")
    assert [next(first).artwork.index for _ in range(100)] == list(range(100))
    joined = shared.generate(wish)
    taken.publish(*range(100, 200))
    taken.finish()
    assert indices(joined) == list(range(200))
    assert indices(first) == list(range(100, 200))


def test_a_cancelled_call_takes_its_job_off_the_queue(shared: Serving) -> None:
    call = shared.generate(GenerateRequest(model="tiny", count=4))
    job_id = next(call).accepted.job_id
    assert shared.hand.queued == [job_id]
    call.cancel()
    eventually(lambda: shared.hand.queued == [])
    assert eventually(lambda: status_of(shared.redis, job_id) == "canceled")
    assert ended(shared.redis, job_id)
    # RQ keeps cancelled jobs for good; here they expire like results.
    assert 0 < shared.redis.ttl(Job.key_for(job_id)) <= 600
    assert 0 < shared.redis.ttl(stream_key(job_id)) <= 600


def test_a_cancelled_call_ends_the_stream_of_a_running_job(shared: Serving) -> None:
    call = shared.generate(GenerateRequest(model="tiny", count=4))
    taken = shared.hand.take()
    taken.publish(0)
    assert next(call).HasField("accepted")
    assert next(call).artwork.index == 0
    call.cancel()
    assert eventually(lambda: ended(shared.redis, taken.job_id))


def test_one_of_two_callers_can_leave_and_the_other_gets_everything(shared: Serving, wish: GenerateRequest) -> None:
    leaves, stays = shared.generate(wish), shared.generate(wish)
    assert next(leaves).accepted.job_id == next(stays).accepted.job_id
    leaves.cancel()
    leases = f"unikat:calls:{shared.hand.queued[0]}"
    eventually(lambda: shared.redis.scard(leases) == 1)
    shared.hand.take().complete()
    assert indices(stays) == [0, 1, 2, 3]


def test_a_caller_that_was_cut_off_goes_on_although_its_job_was_cancelled(
    shared: Serving, wish: GenerateRequest
) -> None:
    with grpc.insecure_channel(shared.target) as flaky:
        call = cast(Responses, type(shared.stub)(flaky).Generate(wish, timeout=20))
        first = shared.hand.take()
        first.publish(0, 1)
        assert next(call).HasField("accepted")
        assert [next(call).artwork.index for _ in range(2)] == [0, 1]
    eventually(lambda: ended(shared.redis, first.job_id))
    again = shared.generate(resumed(wish, 1))
    second = shared.hand.take()
    assert second.job_id != first.job_id  # what still runs of the first cannot write into the second's stream
    assert (second.job.seed, second.job.digest) == (first.job.seed, first.job.digest)
    second.complete()
    assert indices(again) == [2, 3]


def test_a_deadline_ends_the_call_and_the_job(shared: Serving) -> None:
    call = shared.generate(GenerateRequest(model="tiny", count=4), timeout=0.5)
    job_id = next(call).accepted.job_id
    deadline = float(cast(bytes, shared.redis.hget(Job.key_for(job_id), "unikat_deadline")))
    assert deadline == pytest.approx(time.time() + 0.5, abs=0.4)
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: shared.hand.queued == [])
    assert eventually(lambda: ended(shared.redis, job_id))


def test_the_deadline_of_one_caller_is_not_that_of_another(shared: Serving, wish: GenerateRequest) -> None:
    hurried = shared.generate(wish, timeout=0.5)
    assert next(hurried).HasField("accepted")  # so the job has this call's deadline
    patient = shared.generate(wish)
    assert next(patient).HasField("accepted")
    first = shared.hand.take()
    first.publish(0)
    assert code_of(list, hurried) == grpc.StatusCode.DEADLINE_EXCEEDED
    first.fail(Code.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED)  # as a worker does
    shared.hand.take().complete()
    assert indices(patient) == [0, 1, 2, 3]


def test_a_job_that_failed_ends_the_call_with_its_status(shared: Serving, wish: GenerateRequest) -> None:
    call = shared.generate(wish)
    taken = shared.hand.take()
    taken.publish(0)
    taken.fail(Code.INTERNAL, Reason.JOB_FAILED)
    error = refusal_of(iter, call)
    assert isinstance(error, JobFailed)
    assert error.reason == Reason.JOB_FAILED
    assert "cannot be drawn" in str(error)


@pytest.mark.parametrize(("field", "value"), [(b"x", b"?"), (b"s", b"\xff")])
def test_a_stream_with_something_else_in_it_fails_its_own_call_only(
    shared: Serving, field: bytes, value: bytes
) -> None:
    broken = shared.generate(GenerateRequest(model="tiny", count=1))
    broken_job = shared.hand.take()
    sound = shared.generate(GenerateRequest(model="tiny", count=1))
    shared.redis.xadd(stream_key(broken_job.job_id), {field: value}, id="1-0")
    assert isinstance(refusal_of(list, broken), JobFailed)
    shared.hand.take().complete()
    assert indices(sound) == [0]


def test_a_worker_that_gives_a_job_up_for_its_deadline_is_reported_as_such(shared: Serving) -> None:
    call = shared.generate(GenerateRequest(model="tiny", count=4))
    shared.hand.take().fail(Code.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED)
    assert isinstance(refusal_of(iter, call), DeadlineExceeded)


def test_a_job_that_rq_gave_up_does_not_leave_its_caller_waiting(serving: Serving, wish: GenerateRequest) -> None:
    calls, jobs = [], []
    for each in (GenerateRequest(model="tiny", count=4), GenerateRequest(model="tiny", count=4), wish):
        calls.append(serving.generate(each, timeout=40))
        jobs.append(serving.hand.take())
    jobs[0].settle("failed")  # RQ found it abandoned too often; nothing was published
    jobs[1].settle("canceled")
    serving.redis.delete(Job.key_for(jobs[2].job_id))
    failed, stopped, vanished = (refusal_of(iter, call) for call in calls)
    assert isinstance(failed, JobFailed)
    assert isinstance(stopped, Cancelled)
    assert (vanished.code, vanished.reason) == (grpc.StatusCode.UNAVAILABLE, Reason.RESULT_EXPIRED)
    again = serving.generate(wish)  # what a client does after UNAVAILABLE
    serving.hand.take().complete()
    assert indices(again) == [0, 1, 2, 3]


def test_results_that_expired_are_drawn_again_with_the_same_seed(shared: Serving, wish: GenerateRequest) -> None:
    first = shared.generate(wish)
    before = shared.hand.take()
    before.complete()
    list(first)
    shared.redis.delete(stream_key(before.job_id))  # time passes
    again = shared.generate(resumed(wish, 1))
    after = shared.hand.take()
    assert after.job.seed == before.job.seed
    after.complete()
    assert indices(again) == [2, 3]
