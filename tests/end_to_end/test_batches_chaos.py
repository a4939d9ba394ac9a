"""Batches through disasters: the bytes are those of a run that nothing happened to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.shop import Shop, plan, running_shop
from tests.support.batch_calls import difference, tree
from tests.support.chaos import Chaos, Victim
from tests.support.processes import stopped
from tests.support.tiny_model import write_tiny_bundle
from unikat.batches.record import CANCELLED
from unikat.batches.verify import verify
from unikat.queue.batches.keys import batch_key
from unikat.v1 import batches_pb2 as pb

TOTAL = 2000
KILLS = 6


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models, work=200)
    # A lease of a second: the shards of a killed worker are drawn again soon.
    with running_shop(models, tmp_path_factory.mktemp("open"), fsync="always", UNIKAT_LEASE_S="1") as shop:
        yield shop


@pytest.mark.timeout(300)
@pytest.mark.parametrize("layout", [pb.LAYOUT_FILES, pb.LAYOUT_WEBDATASET])
def test_a_batch_through_random_kills_is_the_same_to_the_byte(shop: Shop, layout: pb.Layout) -> None:
    fields: dict[str, Any] = {"plans": plan(TOTAL), "shard_size": 64, "layout": layout}
    folders: list[Path] = []
    with Chaos(shop.stack, seed=int(layout), every=(0.3, 1.0), most=KILLS) as chaos:
        while len(chaos.kills) < len(Victim):  # on a fast machine, one batch is over before each of them was killed
            name = f"through-chaos-{layout}-{len(folders)}"
            folders.append(shop.finish(name, deadline=100, seed=len(folders), **fields))
    for seed, folder in enumerate(folders):
        calm = shop.finish(f"calm-{layout}-{seed}", deadline=100, seed=seed, **fields)
        assert difference(tree(folder), tree(calm)) == []
        report = verify(str(folder))
        assert report.is_complete, report
        assert report.extra == []
        rows = pq.read_table(folder / "manifest.parquet")
        assert rows["index"].to_pylist() == list(range(TOTAL))
        assert len(set(rows["id"].to_pylist())) == TOTAL


def test_a_destination_that_breaks_pauses_the_batch_until_it_works_again(shop: Shop) -> None:
    fields: dict[str, Any] = {"plans": plan(1000), "shard_size": 64}
    undisturbed = shop.finish("whole", **fields)
    folder = shop.open_folder / "broken"
    batch, aside = broken(shop, folder, **fields)
    paused = shop.calls.wait(batch.id, lambda found: found.HasField("pause"))
    assert paused.state == pb.Batch.STATE_RUNNING
    assert paused.pause.reason
    mended(shop, folder, aside)
    ended = shop.calls.finish(batch.id)
    assert not ended.HasField("pause")
    assert ended.failed_count == 0
    assert difference(tree(folder), tree(undisturbed)) == []


def test_a_cancelled_batch_ends_although_its_destination_never_comes_back(shop: Shop) -> None:
    folder = shop.open_folder / "lost"
    batch, _ = broken(shop, folder, plans=plan(100_000), shard_size=64)
    shop.calls.wait(batch.id, lambda found: found.HasField("pause"))
    shop.calls.cancel(batch.id)
    shop.stack.redis.hincrbyfloat(batch_key(batch.id), CANCELLED, -61)  # as if a minute had passed
    ended = shop.calls.wait(batch.id, lambda found: found.HasField("end_time"))
    assert ended.state == pb.Batch.STATE_CANCELLED
    assert ended.manifest == ""
    shop.calls.delete(batch.id)


def broken(shop: Shop, folder: Path, **fields: Any) -> tuple[pb.Batch, Path]:  # noqa: ANN401  (fields by name)
    """A batch whose destination, with images in it, turned into a file; and where the folder is now."""
    batch = shop.create(folder.name, **fields)
    shop.calls.wait(batch.id, lambda found: found.drawn_count > 0)
    with stopped(*shop.stack.workers):  # they would make the folder again in between
        aside = folder.rename(folder.with_name(f"{folder.name}-aside"))
        folder.write_text("There is no folder any more.")
    return batch, aside


def mended(shop: Shop, folder: Path, aside: Path) -> None:
    """The folder is back."""
    with stopped(*shop.stack.workers):
        folder.unlink()
        aside.rename(folder)
