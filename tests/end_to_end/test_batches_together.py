"""Batches beside other work: owners take turns, calls go first, and a cancelled batch is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.shop import Shop, plan, running_shop
from tests.support.batch_calls import difference, tree
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.batches.verify import verify
from unikat.v1 import batches_pb2 as pb

SHARD = 50
MANY = 200_000  # images: more than any machine draws while a test looks
LAYOUTS = {"files": pb.LAYOUT_FILES, "tars": pb.LAYOUT_WEBDATASET}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models, work=200)
    with running_shop(models, tmp_path_factory.mktemp("open")) as shop:
        yield shop


def files_of(folder: Path) -> list[Path]:
    """The files that hold a batch's images."""
    return [path for kind in ("images/*/*.png", "shards/*.tar") for path in folder.glob(kind)]


def written(folder: Path) -> list[float]:
    """Unix times at which they were written, in their order; renaming keeps them."""
    return sorted(path.stat().st_mtime for path in files_of(folder))


def test_owners_take_turns_shard_by_shard(shop: Shop) -> None:
    options = {"layout": pb.LAYOUT_WEBDATASET, "shard_size": SHARD}
    large = shop.create("large", owner="anna", plans=plan(MANY), **options)
    shop.calls.wait(large.id, lambda batch: batch.drawn_count > 0)
    small = shop.create("small", owner="ben", plans=plan(8 * SHARD), **options)
    shop.calls.finish(small.id)
    shop.calls.cancel(large.id)
    mine = written(shop.open_folder / "small")
    between = [moment for moment in written(shop.open_folder / "large") if mine[0] < moment < mine[-1]]
    assert len(mine) == 8
    assert 5 <= len(between) <= 9  # one of his, one of hers; two are in hand at a time


def test_calls_are_answered_while_a_batch_saturates_the_worker(shop: Shop) -> None:
    batch = shop.create("saturating", plans=plan(MANY), shard_size=SHARD)
    shop.calls.wait(batch.id, lambda found: found.drawn_count > 0)
    with Studio(shop.stack.target) as studio:
        for seed in range(40):
            assert len(list(studio.generate("tiny", count=1, seed=seed, timeout=10))) == 1
    still = shop.calls.get(batch.id)
    assert still.state == pb.Batch.STATE_RUNNING
    assert still.drawn_count < MANY / 2  # whoever waited for the batch's end would be waiting still
    shop.calls.cancel(batch.id)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nobody_touches_a_cancelled_batch_a_model_batch_later(shop: Shop, layout: str) -> None:
    folder = shop.open_folder / f"cancelled-{layout}"
    batch = shop.create(folder.name, plans=plan(MANY), shard_size=SHARD, layout=LAYOUTS[layout])
    shop.calls.wait(batch.id, lambda found: found.drawn_count >= 3 * SHARD)
    cancelled = shop.calls.cancel(batch.id)
    assert cancelled.state == pb.Batch.STATE_CANCELLED
    ended = shop.calls.wait(batch.id, lambda found: found.HasField("end_time"))
    found = tree(folder)
    assert ended.drawn_count - cancelled.drawn_count <= 4 * SHARD  # what writers had in hand

    shop.finish(f"after-{layout}", plans=plan(10 * SHARD), shard_size=SHARD)  # whatever was being drawn is through
    assert difference(tree(folder), found) == []
    assert shop.calls.get(batch.id) == ended

    rows = pq.read_table(folder / "manifest.parquet")
    assert rows.num_rows >= 3 * SHARD
    assert rows.num_rows == ended.drawn_count
    kinds = ("images/*/*.png", "shards/*.tar")
    assert {str(path.relative_to(folder)) for kind in kinds for path in folder.glob(kind)} == set(
        rows["file"].to_pylist()
    )
    report = verify(ended.destination)
    assert report.is_intact, report
    assert (report.rows, report.missing_count, report.extra) == (rows.num_rows, MANY - rows.num_rows, [])
