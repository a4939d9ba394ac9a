"""A worker that ends takes no refusal along, and none is counted twice."""

from __future__ import annotations

import signal
from typing import cast

import pytest

from tests.support.processes import eventually
from tests.worker.bench import Bench
from unikat.bundle import Bundle
from unikat.queue.stream import RESPONSE, is_refusal, stream_key
from unikat.v1.studio_pb2 import GenerateResponse

COUNT = 60


@pytest.mark.parametrize("killed", [signal.SIGKILL, signal.SIGTERM])
def test_the_end_counts_what_every_worker_delivered(bench: Bench, bundle: Bundle, killed: signal.Signals) -> None:
    settings = {"content_gate": "0.0011", "lease_s": 1, "threads": 1, "max_batch": 2}
    with bench.worker(**settings) as first:
        job = bench.enqueue(bundle.model.digest, COUNT, weights={})
        eventually(lambda: 10 < bench.published(job) < COUNT, pause=0.01)
        first.process.send_signal(killed)
        first.process.wait(20)
    before = bench.published(job)
    assert before < COUNT
    with bench.worker(**settings):
        eventually(lambda: bench.published(job) == COUNT + 1, 60)
    found = cast("list[tuple[bytes, dict[bytes, bytes]]]", bench.redis.xrange(stream_key(job.id)))
    entries = [fields[RESPONSE] for _, fields in found]
    refused = sum(map(is_refusal, entries))
    assert 0 < refused < COUNT
    assert any(map(is_refusal, entries[:before]))
    assert GenerateResponse.FromString(entries[-1]).finished.count == COUNT - refused
    assert job.return_value(refresh=True) == {"images": COUNT - refused, "attempts": 2, "refused": refused}
