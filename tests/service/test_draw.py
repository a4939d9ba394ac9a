"""Draw: one request, one artwork; all else is as in Generate."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
import pytest
from google.rpc.code_pb2 import Code

from tests.service.by_hand import image_of
from tests.service.calls import code_of, fields_of, refusal_of
from tests.service.conftest import Serving
from tests.support.processes import eventually
from unikat.call_records import CallRecord
from unikat.errors import InvalidRequest, JobFailed, NotFound, Reason
from unikat.v1.studio_pb2 import Artwork, Condition, GenerateRequest, GenerateResponse
from unikat_service.studio import note_sent


def test_what_neither_line_nor_span_says_is_not_read_in_an_image() -> None:
    lines, response = logging.getLogger("unikat.calls"), GenerateResponse(artwork=Artwork(image=b"image"))
    response.artwork.timings.drawn.FromSeconds(1)
    found = {}
    for level in (logging.INFO, logging.WARNING):
        lines.setLevel(level)
        found[level] = CallRecord("Draw", 1.0)
        note_sent(found[level], response.SerializeToString(), 3.0)
    note_sent(spanned := CallRecord("Draw", 1.0, trace="of a span"), response.SerializeToString(), 3.0)
    lines.setLevel(logging.NOTSET)
    assert [(record.first, record.images) for record in found.values()] == [(2.0, 1)] * 2
    assert found[logging.INFO].stages == (0, 0, 1, 0)
    assert found[logging.WARNING].stages is None
    assert spanned.stages == found[logging.INFO].stages, "its span says them"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads in which calls wait."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


def begin(serving: Serving, threads: ThreadPoolExecutor, request: GenerateRequest) -> Future[Artwork]:
    return threads.submit(serving.stub.Draw, request, timeout=20)


def test_a_draw_is_its_artwork_and_what_the_request_was_resolved_to(
    shared: Serving, threads: ThreadPoolExecutor
) -> None:
    wish = GenerateRequest(model="tiny", conditions=[Condition(attribute="style", category="ink")], first_index=7)
    call = begin(shared, threads, wish)
    taken = shared.hand.take()
    taken.complete()
    artwork = call.result()
    assert (artwork.image, artwork.seed) == (image_of(0), taken.job.seed)
    accepted = artwork.accepted
    assert (accepted.job_id, accepted.model, accepted.count) == (taken.job_id, "tiny@1", 1)
    assert (accepted.seed, accepted.first_index) == (taken.job.seed, 7)
    assert list(accepted.conditions) == list(wish.conditions)


def test_the_bytes_are_those_of_generate(shared: Serving, threads: ThreadPoolExecutor) -> None:
    wish = GenerateRequest(model="tiny", request_id=str(uuid.uuid4()))
    drawn = begin(shared, threads, wish)
    shared.hand.take().complete()
    artwork = drawn.result()
    wish.count = 1  # the same content: what was left out
    accepted, generated, _ = shared.generate(wish)
    assert accepted.accepted == artwork.accepted
    artwork.ClearField("accepted")
    assert artwork == generated.artwork
    assert shared.hand.queued == []


def test_a_draw_that_asks_for_more_or_for_what_it_cannot_have_is_refused(shared: Serving) -> None:
    assert list(fields_of(shared.stub.Draw, GenerateRequest(model="tiny", count=2))) == ["count"]
    resumed = GenerateRequest(model="tiny", request_id="r", after_index=0)
    assert list(fields_of(shared.stub.Draw, resumed)) == ["after_index"]
    wrong = GenerateRequest(model="tiny", conditions=[Condition(attribute="style", category="?")])
    assert list(fields_of(shared.stub.Draw, wrong)) == ["conditions[0].category"]
    assert isinstance(refusal_of(shared.stub.Draw, GenerateRequest(model="other")), NotFound)


def test_a_draw_that_is_repeated_is_the_same_job(shared: Serving, threads: ThreadPoolExecutor) -> None:
    wish = GenerateRequest(model="tiny", request_id=str(uuid.uuid4()))
    calls = [begin(shared, threads, wish) for _ in range(4)]
    shared.hand.take().complete()
    assert len({call.result().accepted.job_id for call in calls}) == 1
    other = GenerateRequest(model="tiny", seed=1, request_id=wish.request_id)
    error = refusal_of(shared.stub.Draw, other)
    assert isinstance(error, InvalidRequest)
    assert error.reason == Reason.REQUEST_ID_REUSED


def test_a_failure_and_a_deadline_end_a_draw(shared: Serving, threads: ThreadPoolExecutor) -> None:
    call = begin(shared, threads, GenerateRequest(model="tiny"))
    shared.hand.take().fail(Code.INTERNAL, Reason.JOB_FAILED)
    assert isinstance(refusal_of(call.result), JobFailed)
    hurried = GenerateRequest(model="tiny")
    assert code_of(lambda: shared.stub.Draw(hurried, timeout=0.3)) == grpc.StatusCode.DEADLINE_EXCEEDED
    eventually(lambda: shared.hand.queued == [])


def test_a_cancelled_draw_takes_its_job_off_the_queue(shared: Serving) -> None:
    call = shared.stub.Draw.future(GenerateRequest(model="tiny"))
    eventually(lambda: len(shared.hand.queued) == 1)
    call.cancel()  # type: ignore[no-untyped-call]  # the stubs leave it out
    eventually(lambda: shared.hand.queued == [])
