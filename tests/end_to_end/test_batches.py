"""Batches through service, queue and worker: complete to the last byte, and readable by others."""

from __future__ import annotations

import gc
import itertools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import webdataset

from tests.end_to_end.shop import Shop, running_shop
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.batches.verify import verify
from unikat.v1 import batches_pb2 as pb

STYLES, SUBJECTS, EACH = ("ink", "oil", "chalk"), ("hill", "sea"), 350
TOTAL = len(STYLES) * len(SUBJECTS) * EACH
LAYOUTS = {"files": pb.LAYOUT_FILES, "tars": pb.LAYOUT_WEBDATASET}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models, work=100)
    with running_shop(models, tmp_path_factory.mktemp("open")) as shop:
        yield shop


@pytest.fixture(scope="module")
def ended(shop: Shop) -> dict[str, pb.Batch]:
    """The same batch in both layouts."""
    grid = pb.Grid(axes=[pb.Axis(attribute="style"), pb.Axis(attribute="subject", categories=SUBJECTS)], count=EACH)
    made = {name: shop.create(name, grid=grid, layout=layout, shard_size=96) for name, layout in LAYOUTS.items()}
    return {name: shop.calls.finish(batch.id) for name, batch in made.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_is_complete_and_verifies_to_the_last_byte(shop: Shop, ended: dict[str, pb.Batch], layout: str) -> None:
    batch, folder = ended[layout], shop.open_folder / layout
    assert (batch.drawn_count, batch.failed_count, batch.total_count) == (TOTAL, 0, TOTAL)
    assert batch.manifest == f"{batch.destination}/manifest.parquet" == f"file://{folder}/manifest.parquet"
    images = "images" if layout == "files" else "shards"
    assert {path.name for path in folder.iterdir()} == {
        images, "manifest.parquet", "contact-sheet.png", "batch.json",
    }  # fmt: skip
    report = verify(batch.destination)
    assert report.is_complete, report
    assert (report.rows, report.checked, report.extra) == (TOTAL, TOTAL, [])


def test_both_layouts_hold_the_same_images(shop: Shop, ended: dict[str, pb.Batch]) -> None:
    loose = {path.stem: path.read_bytes() for path in (shop.open_folder / "files").glob("images/*/*.png")}
    packed = {key: sample["png"] for key, sample in samples(shop.open_folder / "tars").items()}
    assert sorted(loose) == [f"{index:07}" for index in range(TOTAL)]
    assert packed == loose


def test_an_image_of_a_batch_is_that_of_a_call_with_its_seed_index_and_conditions(
    shop: Shop, ended: dict[str, pb.Batch]
) -> None:
    found = samples(shop.open_folder / "tars")
    with Studio(shop.stack.target) as studio:
        for index in (0, EACH - 1, EACH, TOTAL - 1):  # the ends, and a border between two cells
            style, subject = list(itertools.product(STYLES, SUBJECTS))[index // EACH]
            where = {"style": style, "subject": subject}
            (artwork,) = studio.generate("tiny", where, count=1, first_index=index, seed=ended["tars"].seed)
            sample = found[f"{index:07}"]
            assert sample["png"] == artwork.data
            described = json.loads(sample["json"])
            assert (described["id"], described["index"]) == (artwork.id, index)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_manifest_is_read_by_pyarrow_and_duckdb(shop: Shop, ended: dict[str, pb.Batch], layout: str) -> None:
    manifest = shop.open_folder / layout / "manifest.parquet"
    assert pq.read_table(manifest)["index"].to_pylist() == list(range(TOTAL))
    asked = 'count(*), count(DISTINCT id), count(DISTINCT "index"), max("index"), count(DISTINCT seed)'
    assert duckdb.execute(f"SELECT {asked} FROM '{manifest}'").fetchone() == (TOTAL, TOTAL, TOTAL, TOTAL - 1, 1)
    of_ink = f"SELECT count(*) FROM '{manifest}' WHERE conditions.style = 'ink' AND conditions.subject = 'hill'"
    assert duckdb.execute(of_ink).fetchone() == (EACH,)


def samples(folder: Path) -> dict[str, dict[str, bytes]]:
    """What the webdataset library finds in a batch's tars, by key."""
    tars = [str(path) for path in sorted(folder.glob("shards/*.tar"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves it to Python to close files
        found = {sample["__key__"]: sample for sample in webdataset.WebDataset(tars, shardshuffle=False)}
        gc.collect()
    return found
