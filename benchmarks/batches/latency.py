"""Calls for one image beside batches: what they wait for."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import groupby

from benchmarks.batches.progress import follow
from benchmarks.caller import Call, calling
from benchmarks.figures import percentile
from tests.end_to_end.shop import Shop, plan
from unikat import Studio
from unikat.v1 import batches_pb2 as pb

HEADER = ("| one image a call | calls | p50 ms | p99 ms | longest ms |", "| --- | ---: | ---: | ---: | ---: |")


def latency_table(shop: Shop, calls: int) -> list[str]:
    """Markdown: calls alone, and while a batch saturates the worker."""
    model_batch = model_batch_ms(shop)
    with calling(shop.stack.target, shop.model) as caller:
        alone = caller.measure(calls)
        batch = shop.create("saturating", plans=plan(1_000_000), request_id=f"saturating-{calls}")
        follow(shop.calls, batch, f"{calls} calls beside a batch", lambda found: found.drawn_count > 0)
        beside = caller.measure(calls, deadline=600)
        assert shop.calls.get(batch.id).state == pb.Batch.STATE_RUNNING
    shop.calls.cancel(batch.id)
    shop.calls.wait(batch.id, lambda found: found.HasField("end_time"))
    target = percentile([call.ms for call in alone], 0.99) + model_batch
    reached = percentile([call.ms for call in beside], 0.99)
    return [
        *HEADER,
        row("alone", alone),
        row("while a batch saturates the worker", beside),
        "",
        f"A model batch takes {model_batch:.0f} ms (median of a large call): beside a batch, p99 may be "
        f"{target:.0f} ms, and is {reached:.0f} ms.",
    ]


def row(name: str, calls: Sequence[Call]) -> str:
    """A row of the table."""
    ms = [call.ms for call in calls]
    return f"| {name} | {len(ms)} | {percentile(ms, 0.5):.1f} | {percentile(ms, 0.99):.1f} | {max(ms):.1f} |"


def model_batch_ms(shop: Shop) -> float:
    """Median milliseconds from the beginning of a model batch to its last encoded image, with all lanes at work."""
    with Studio(shop.stack.target) as studio:
        timings = [artwork.timings for artwork in studio.generate(shop.model, count=3000, seed=1)]
    # The images of a model batch waited for it and were drawn for the same time, to the microsecond.
    batches = [list(of) for _, of in groupby(timings, key=lambda took: (took.batched, took.drawn))]
    return 1000 * statistics.median(of[0].drawn + sum(took.encoded for took in of) for of in batches)
