"""A watch over several connections: what is asked for next, what is news, when it is over."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from unikat.delivery import Watching
from unikat.v1 import batches_pb2 as pb


def message(revision: int, ended: bool = False) -> pb.Batch:
    state = pb.Batch.STATE_SUCCEEDED if ended else pb.Batch.STATE_RUNNING
    batch = pb.Batch(id="b1", state=state, revision=revision)
    if ended:
        batch.end_time.CopyFrom(Timestamp(seconds=1))
    return batch


def test_the_first_connection_asks_for_what_is_and_the_next_for_what_changed() -> None:
    watching = Watching("b1", None, 60.0)
    assert watching.next_request() == pb.WatchBatchRequest(id="b1")
    watching.take(message(7))
    assert watching.next_request() == pb.WatchBatchRequest(id="b1", after_revision=7)


def test_what_comes_again_is_no_news() -> None:
    watching = Watching("b1", None, 60.0)
    assert watching.take(message(7)) is not None
    assert watching.take(message(7)) is None
    assert watching.take(message(8)) is not None


def test_it_is_over_when_the_batch_has_ended() -> None:
    watching = Watching("b1", None, 60.0)
    watching.take(message(7))
    assert not watching.is_complete
    watching.take(message(8, ended=True))
    assert watching.is_complete
