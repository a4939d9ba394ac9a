"""A call over several connections: what is asked for next, what is believed, when to give up."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from tests.support.processes import eventually
from unikat.artwork import Originality
from unikat.delivery import LONGEST_PAUSE, Delivery, Patience, only_artwork
from unikat.errors import DeadlineExceeded, Reason, Unavailable, UnikatError, bad_field, error_of, retry_later
from unikat.request import generate_request
from unikat.v1.studio_pb2 import REFUSAL_CONTENT, Accepted, Artwork, Finished, GenerateResponse, Refused


def delivery(timeout: float | None = None, reconnect_timeout: float = 60.0, images: int = 0) -> Delivery:
    call = Delivery(generate_request("tiny", count=4, seed=7), timeout, reconnect_timeout)
    call.take(accepted())
    for index in range(images):
        call.take(image(index))
    return call


def accepted(seed: int = 7, digest: str = "sha256:1") -> GenerateResponse:
    return GenerateResponse(accepted=Accepted(model="tiny@1", model_digest=digest, seed=seed, count=4))


def image(index: int) -> GenerateResponse:
    return GenerateResponse(artwork=Artwork(index=index, media_type="image/png"))


def finished() -> GenerateResponse:
    return GenerateResponse(finished=Finished(count=4, attempts=1))


def unavailable(seconds: float | None = None) -> UnikatError:
    status = retry_later(Code.UNAVAILABLE, "away", Reason.STORE_UNAVAILABLE, seconds or 0.0)
    if seconds is None:
        del status.details[:]
    return error_of(status)


def test_indexes_begin_where_the_request_says() -> None:
    call = Delivery(generate_request("tiny", count=2, first_index=40, seed=7), None, 60.0)
    call.take(GenerateResponse(accepted=Accepted(model="tiny@1", seed=7, count=2, first_index=40)))
    with pytest.raises(UnikatError, match="image 40 is due, but image 0 arrived"):
        call.take(image(0))
    call.take(image(40))
    assert call.next_request().after_index == 40
    call.take(image(41))
    call.take(GenerateResponse(finished=Finished(count=2, attempts=1)))
    assert call.is_complete


def test_a_service_that_knows_nothing_of_credentials_is_not_taken_at_its_word() -> None:
    call = Delivery(generate_request("tiny", count=4, seed=7, credentials="embedded"), None, 60.0)
    with pytest.raises(UnikatError, match="signs nothing"):
        call.take(accepted())
    request = generate_request("tiny", seed=7, credentials="sidecar")
    with pytest.raises(UnikatError, match="signs nothing"):
        only_artwork(request, Artwork(seed=7, media_type="image/png"))


@pytest.mark.parametrize("asked", [{"originality": "enforce"}, {"attempt": 1}])
def test_a_service_that_knows_nothing_of_originality_is_not_taken_at_its_word(asked: dict[str, Any]) -> None:
    request = generate_request("tiny", count=4, seed=7, **asked)
    call = Delivery(request, None, 60.0)
    call.take(accepted())
    with pytest.raises(UnikatError, match="knows no originality and no attempts"):
        call.take(image(0))
    with pytest.raises(UnikatError, match="knows no originality and no attempts"):
        only_artwork(request, Artwork(seed=7, media_type="image/png"))
    compared = image(0)
    compared.artwork.originality.distance = 3
    compared.artwork.originality.attempt = 1
    artwork = call.take(compared)
    assert artwork is not None
    assert artwork.originality == Originality(distance=3, percentile=None, attempt=1)


def test_refused_images_count_and_are_kept_apart() -> None:
    call = delivery(images=1)
    assert call.take(refused(1)) is None
    assert [(each.index, each.reason, each.detail) for each in call.refused] == [(1, "CONTENT", "says 0.9")]
    assert call.next_request().after_index == 1
    with pytest.raises(UnikatError, match="image 2 is due, but image 3 arrived"):
        call.take(refused(3))
    call.take(refused(2, reason=77))  # of a later release
    assert call.refused[-1].reason == "77"
    call.take(image(3))
    call.take(finished())
    assert call.is_complete


def refused(index: int, reason: int = REFUSAL_CONTENT) -> GenerateResponse:
    return GenerateResponse(refused=Refused(index=index, reason=reason, detail="says 0.9"))  # type: ignore[arg-type]


def test_the_next_connection_asks_for_what_is_behind_the_last_image() -> None:
    assert not delivery().next_request().HasField("after_index")
    assert delivery(images=1).next_request().after_index == 0
    assert delivery(images=3).next_request().after_index == 2


def test_the_request_stays_the_same_but_for_where_it_goes_on() -> None:
    call = delivery()
    before = call.next_request().SerializeToString(deterministic=True)
    call.take(image(0))
    request = call.next_request()
    request.ClearField("after_index")
    assert request.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("index", [0, 1, 3])
def test_an_image_that_is_not_due_is_an_error(index: int) -> None:
    call = delivery(images=2)
    with pytest.raises(UnikatError, match=f"image 2 is due, but image {index} arrived") as lost:
        call.take(image(index))
    assert lost.value.code is grpc.StatusCode.DATA_LOSS


def test_an_end_before_the_last_image_is_an_error() -> None:
    with pytest.raises(UnikatError, match="before the last one"):
        delivery(images=3).take(finished())
    call = delivery(images=4)
    call.take(finished())
    assert call.finished is not None
    assert call.finished.count == 4


def test_images_of_another_model_are_not_mixed_in() -> None:
    call = delivery(images=2)
    with pytest.raises(UnikatError, match="pin the model's version"):
        call.take(accepted(digest="sha256:2"))
    call.take(accepted())  # the same again, as after every resumption


def test_pauses_grow_and_have_a_limit() -> None:
    call = delivery()
    pauses = [call.pause_after(unavailable()) for _ in range(12)]
    assert pauses[0] <= 0.1
    assert max(pauses) <= LONGEST_PAUSE
    assert min(pauses[-4:]) >= LONGEST_PAUSE / 2


def test_progress_shortens_the_pauses_again() -> None:
    call = delivery()
    for _ in range(10):
        call.pause_after(unavailable())
    call.take(image(0))
    assert call.pause_after(unavailable()) <= 0.1


def test_a_service_that_says_when_to_come_back_is_believed() -> None:
    assert 3.0 <= delivery().pause_after(unavailable(3.0)) <= 3.3


def test_it_gives_up_after_the_reconnect_timeout_without_progress() -> None:
    call = delivery(reconnect_timeout=0.3)

    def gave_up() -> bool:
        try:
            call.pause_after(unavailable())
        except Unavailable:
            return True
        return False

    assert not gave_up()
    eventually(gave_up, deadline=5)
    call.take(image(0))
    assert not gave_up(), "progress starts the time anew"


def test_it_does_not_wait_beyond_the_deadline() -> None:
    call = delivery(timeout=1.0)
    with pytest.raises(Unavailable):
        call.pause_after(unavailable(2.0))
    remaining = call.remaining
    assert remaining is not None
    assert 0 < remaining <= 1.0


def test_only_a_lost_service_is_worth_another_try() -> None:
    error = error_of(bad_field("count", "must be 1 to 4096"))
    with pytest.raises(UnikatError, match="must be 1 to 4096"):
        delivery().pause_after(error)


def test_a_deadline_that_nobody_set_is_that_of_a_proxy_and_worth_another_try() -> None:
    """As a proxy says whose own time for a request is over: DEADLINE_EXCEEDED without an ErrorInfo of ours."""
    error = error_of(Status(code=Code.DEADLINE_EXCEEDED, message="Deadline Exceeded"))
    assert delivery().pause_after(error) <= 0.1
    assert delivery(timeout=60.0).pause_after(error) <= 0.1
    over = delivery(timeout=0.0)
    with pytest.raises(DeadlineExceeded):
        over.pause_after(error)
    with pytest.raises(DeadlineExceeded):  # a try whose own time is over
        Patience(60.0, 60.0, each_try=True).pause_after(error)
