"""State, counts and rate follow from stored facts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.service.batch_hand import spec_of
from unikat.batches import record as r
from unikat.batches.record import BatchRecord
from unikat.v1.batches_pb2 import Batch


def record(done: int = 0, last_done: bool = False, failed: tuple[int, ...] = (), **fields: object) -> BatchRecord:
    """A batch of 10 images in shards of 4, 4 and 2, created at 100 s."""
    facts = {r.HEAD: spec_of("a", 10).to_json()[0], r.TOTAL: 10, r.SHARDS: 3, r.CREATED: 100.0, r.REVISION: 5} | fields
    pace = json.loads(str(facts.pop("pace", "[]")))
    texts = {name: str(value) for name, value in facts.items()}
    return BatchRecord("b", texts, done, last_done, {shard: f"why {shard}" for shard in failed}, pace)


@pytest.mark.parametrize(
    ("batch", "state"),
    [
        (record(), Batch.STATE_QUEUED),
        (record(started=101), Batch.STATE_RUNNING),
        (record(3, True, started=101), Batch.STATE_RUNNING),  # its manifest is not written
        (record(3, True, started=101, ended=110), Batch.STATE_SUCCEEDED),
        (record(2, True, (0,), started=101, ended=110), Batch.STATE_FAILED),
        (record(2, True, (0,), started=101), Batch.STATE_RUNNING),
        (record(cancelled=105), Batch.STATE_CANCELLED),
        (record(2, True, (0,), started=101, cancelled=105, ended=110), Batch.STATE_CANCELLED),
    ],
)
def test_the_state_follows_from_the_facts(batch: BatchRecord, state: int) -> None:
    assert batch.to_message().state == state


@pytest.mark.parametrize(
    ("batch", "drawn", "failed"),
    [
        (record(), 0, 0), (record(1), 4, 0), (record(1, True), 2, 0), (record(2), 8, 0), (record(3, True), 10, 0),
        (record(2, False, (2,)), 8, 2), (record(1, True, (0, 1)), 2, 8), (record(0, False, (0, 1, 2)), 0, 10),
    ],
)  # fmt: skip
def test_images_are_counted_by_shards_of_which_the_last_is_smaller(batch: BatchRecord, drawn: int, failed: int) -> None:
    message = batch.to_message()
    assert (message.drawn_count, message.failed_count, message.total_count) == (drawn, failed, 10)
    assert batch.is_settled == (drawn + failed == 10)


def test_the_rate_is_that_of_the_last_minute_and_tells_what_remains() -> None:
    running = record(2, started=101, pace="[[103, 4], [102, 4], [20, 400]]").to_message()
    assert running.images_per_second == pytest.approx(4)
    assert running.remaining.ToTimedelta().total_seconds() == pytest.approx(0.5)
    first = record(1, started=101, pace="[[103, 4]]").to_message()
    assert first.images_per_second == pytest.approx(2)


def test_shards_that_come_at_once_do_not_promise_the_end() -> None:
    running = record(2, started=101, pace="[[103.01, 4], [103, 4]]").to_message()
    assert running.images_per_second == pytest.approx(8 / 2.01)


def test_the_rate_of_a_batch_that_has_ended_is_that_of_all_of_it() -> None:
    ended = record(3, True, started=100, ended=105, pace="[[104, 2], [103.9, 4]]").to_message()
    assert ended.images_per_second == pytest.approx(2)
    assert not ended.HasField("remaining")


def test_nothing_is_told_of_a_rate_that_is_not_known() -> None:
    for batch in (record(), record(started=101), record(1, started=101, pace="[[101, 4]]")):
        message = batch.to_message()
        assert message.images_per_second == 0
        assert not message.HasField("remaining")


def test_a_pause_is_shown_while_it_runs_and_hides_the_remaining_time() -> None:
    facts: dict[str, Any] = {"started": 101, "paused": "disk full", "paused_since": 102, "paused_until": 110}
    paused = record(1, pace="[[103, 4], [102, 4]]", **facts).to_message()
    assert paused.state == Batch.STATE_RUNNING
    assert (paused.pause.reason, paused.pause.since.seconds) == ("disk full", 102)
    assert not paused.HasField("remaining")
    assert not record(1, cancelled=104, **facts).to_message().HasField("pause")


def test_failures_are_named_with_their_images_and_cut_to_what_a_message_carries() -> None:
    message = record(1, False, (2, 0)).to_message()
    named = [(f.shard, f.first_index, f.count, f.message) for f in message.failures]
    assert named == [(0, 0, 4, "why 0"), (2, 8, 2, "why 2")]
    many = spec_of("a", 400).to_json()[0]
    wordy = BatchRecord(
        "b",
        {r.HEAD: many, r.TOTAL: "400", r.SHARDS: "100", r.CREATED: "1"},
        0,
        False,
        dict.fromkeys(range(100), "x" * 10**6),
    )
    assert wordy.to_message().ByteSize() < 2**18
    assert wordy.to_message().failed_count == 400


def test_times_are_set_when_they_are_known() -> None:
    fresh, ended = record().to_message(), record(3, True, started=101.5, ended=110, manifest="file:///m").to_message()
    assert not fresh.HasField("start_time")
    assert not fresh.HasField("end_time")
    assert (ended.create_time.seconds, ended.start_time.nanos, ended.end_time.seconds) == (100, 500_000_000, 110)
    assert ended.manifest == "file:///m"


def test_a_message_has_plans_only_where_the_cells_are_given() -> None:
    spec = spec_of("a", 3, 7)
    assert [plan.count for plan in record().to_message(spec.cells).plans] == [3, 7]
    assert record().to_message(spec.cells).plans[0].conditions[0].category == "ink"
    assert not record().to_message().plans
