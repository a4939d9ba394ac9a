"""Two owners: a small batch behind a large one of somebody else's."""

from __future__ import annotations

import statistics

from benchmarks.batches.progress import follow, seconds
from tests.end_to_end.shop import Shop, plan
from unikat.v1 import batches_pb2 as pb


def fairness_table(shop: Shop, large: int, small: int, rounds: int) -> list[str]:
    """Markdown: the small batch's seconds alone and beside the large one, medians of some rounds."""
    alone = [seconds_of_small(shop, small, f"alone-{number}") for number in range(rounds)]
    batch = shop.create("large", owner="anna", plans=plan(large))
    follow(shop.calls, batch, f"{large:,} images of another owner", lambda found: found.drawn_count > 0)
    beside = [seconds_of_small(shop, small, f"beside-{number}") for number in range(rounds)]
    assert shop.calls.get(batch.id).state == pb.Batch.STATE_RUNNING, "the large batch was too small"
    shop.calls.cancel(batch.id)
    shop.calls.wait(batch.id, lambda found: found.HasField("end_time"))
    ratio = statistics.median(beside) / statistics.median(alone)
    return [
        f"| {small} images, from CreateBatch to the manifest | median s | shortest – longest |",
        "| --- | ---: | ---: |",
        f"| alone | {statistics.median(alone):.2f} | {min(alone):.2f} – {max(alone):.2f} |",
        f"| behind {large:,} images of another owner | {statistics.median(beside):.2f} "
        f"| {min(beside):.2f} – {max(beside):.2f} |",
        f"| ratio | **{ratio:.1f}** | |",
    ]


def seconds_of_small(shop: Shop, images: int, name: str) -> float:
    """Seconds that a small batch of its own owner takes."""
    batch = shop.create(name, owner="ben", plans=plan(images))
    return seconds(follow(shop.calls, batch, f"{images} images, {name}"))
