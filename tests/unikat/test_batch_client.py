"""Batches from Python, against a real service and a real worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually, free_port
from tests.support.tiny_model import STYLES, write_tiny_bundle
from unikat import AsyncStudio, Batch, BatchState, Plan, Studio
from unikat.errors import Cancelled, InvalidRequest, NotFound, Unavailable, WrongState


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, out: Path) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    write_tiny_bundle(models, "slow", work=1000)
    with running_stack(models, UNIKAT_DESTINATIONS=str(out)) as running:
        yield running


@pytest.fixture
def studio(stack: Stack) -> Iterator[Studio]:
    with Studio(stack.target) as connected:
        yield connected


def restart_service(stack: Stack) -> None:
    assert stack.service is not None
    stack.service.kill()
    threading.Thread(target=stack.start_service).start()


def test_a_grid_is_drawn_and_watched_to_its_end(studio: Studio, out: Path) -> None:
    batch = studio.create_batch(
        "tiny", grid={"style": "*", "subject": ["hill"]}, count=20, seed=7, to=out / "grid", owner="ada",
        labels={"job": "12"}, shard_size=16, format="webp", layout="webdataset",
    )  # fmt: skip
    assert list(batch.plans) == [Plan({"style": style, "subject": "hill"}, 20) for style in STYLES]
    seen = list(studio.watch_batch(batch.id))
    assert [each.revision for each in seen] == sorted({each.revision for each in seen})
    last = seen[-1]
    assert (last.state, last.drawn, last.total, last.failed) == (BatchState.SUCCEEDED, 60, 60, 0)
    assert last.destination == f"file://{out / 'grid'}"
    assert last.manifest == f"file://{out / 'grid' / 'manifest.parquet'}"
    assert (out / "grid" / "manifest.parquet").is_file()
    assert (last.owner, last.labels, last.format, last.layout) == ("ada", {"job": "12"}, "webp", "webdataset")
    assert last.started is not None
    assert last.ended is not None
    assert last.created <= last.started <= last.ended
    assert studio.batch(batch.id) == replace(last, plans=batch.plans)


def test_images_of_a_batch_are_those_of_its_seed(studio: Studio, out: Path) -> None:
    batch = studio.create_batch(
        "tiny", plans=[Plan({"style": "ink"}, 3), Plan({"style": "oil"}, 5)], to=out / "plans", seed=9
    )
    *_, last = studio.watch_batch(batch.id)
    assert last.state == "SUCCEEDED"
    again = list(studio.generate("tiny", {"style": "oil"}, count=2, first_index=4, seed=9))
    files = sorted((out / "plans" / "images" / "00000").iterdir())
    assert [path.read_bytes() for path in files[4:6]] == [artwork.data for artwork in again]


def test_batches_are_listed_page_by_page_newest_first(studio: Studio, out: Path) -> None:
    made = [studio.create_batch("tiny", to=out / f"list-{i}", owner="lister").id for i in range(52)]
    assert [batch.id for batch in studio.batches(owner="lister")] == made[::-1], "more than a page"
    for _ in studio.watch_batch(made[-1]):
        pass
    ended = studio.batches(states=["SUCCEEDED"], owner="lister")
    assert next(ended).id == made[-1]
    assert list(studio.batches(states=[BatchState.FAILED, BatchState.QUEUED], owner="lister")) == []


def test_a_cancelled_batch_ends_and_is_forgotten(studio: Studio, out: Path) -> None:
    batch = studio.create_batch("slow", to=out / "cancel", count=50_000, shard_size=32)
    with pytest.raises(WrongState):
        studio.delete_batch(batch.id)
    with studio.watch_batch(batch.id) as changes:
        next(each for each in changes if each.drawn)
        assert studio.cancel_batch(batch.id).state is BatchState.CANCELLED
        assert studio.cancel_batch(batch.id).state is BatchState.CANCELLED, "once more changes nothing"
        *_, last = changes
    assert 0 < last.drawn < 50_000
    assert last.manifest is not None
    with pytest.raises(WrongState, match="FAILED"):
        studio.retry_batch(batch.id)
    studio.delete_batch(batch.id)
    for gone in (studio.batch, studio.cancel_batch, studio.retry_batch, studio.delete_batch):
        with pytest.raises(NotFound):
            gone(batch.id)
    with pytest.raises(NotFound):
        next(studio.watch_batch(batch.id))


def test_what_failed_is_drawn_again_once_it_can_be(studio: Studio, out: Path, tmp_path: Path) -> None:
    (out / "link").symlink_to(tmp_path)  # leads out of what is open: every shard is refused
    batch = studio.create_batch("tiny", to=out / "link", count=30, shard_size=16)
    *_, last = studio.watch_batch(batch.id)
    assert (last.state, last.drawn, last.failed) == (BatchState.FAILED, 0, 30)
    assert [(failure.first_index, failure.count) for failure in last.failures] == [(0, 16), (16, 14)]
    assert "symbolic link" in last.failures[0].message
    (out / "link").unlink()
    assert studio.retry_batch(batch.id).failed == 0
    *_, last = studio.watch_batch(batch.id)
    assert (last.state, last.drawn) == (BatchState.SUCCEEDED, 30)


def test_one_request_id_is_one_batch(studio: Studio, out: Path) -> None:
    first = studio.create_batch("tiny", to=out / "once", seed=1, request_id="once")
    assert studio.create_batch("tiny", to=out / "once", seed=1, request_id="once").id == first.id
    with pytest.raises(InvalidRequest) as refused:
        studio.create_batch("tiny", to=out / "once", seed=2, request_id="once")
    assert list(refused.value.fields) == ["request_id"]


def test_a_wrong_field_is_named(studio: Studio, out: Path) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "destination": {"to": "/elsewhere"},
        "grid.axes[0].categories[0]": {"grid": {"style": ["inc"]}},
        "plans[1].conditions[0].category": {"plans": [Plan({}, 1), Plan({"style": "inc"}, 1)]},
        "owner": {"owner": "a b"},
    }
    for field, arguments in wrong.items():
        with pytest.raises(InvalidRequest) as refused:
            studio.create_batch("tiny", **{"to": out / "no", **arguments})
        assert list(refused.value.fields) == [field]
    with pytest.raises(NotFound, match="tiny"):
        studio.create_batch("tony", to=out / "no")


def test_a_watch_survives_a_killed_service(studio: Studio, stack: Stack, out: Path) -> None:
    batch = studio.create_batch("slow", to=out / "killed", count=600, shard_size=32)
    seen: list[Batch] = []
    for each in studio.watch_batch(batch.id):
        seen.append(each)
        if len(seen) == 3:
            restart_service(stack)
    revisions = [each.revision for each in seen]
    assert revisions == sorted(set(revisions)), "nothing twice"
    assert (seen[-1].state, seen[-1].drawn) == (BatchState.SUCCEEDED, 600)


def test_a_batch_is_created_once_though_its_service_is_killed(studio: Studio, stack: Stack, out: Path) -> None:
    restart_service(stack)
    batch = studio.create_batch("tiny", to=out / "while-down", owner="patient")
    assert [each.id for each in studio.batches(owner="patient")] == [batch.id]


def test_without_a_service_it_gives_up(out: Path) -> None:
    target = f"127.0.0.1:{free_port()}"
    with Studio(target, reconnect_timeout=0.5) as studio:
        with pytest.raises(Unavailable, match=target):
            studio.create_batch("tiny", to=out / "no")
        with pytest.raises(Unavailable, match=target):
            next(studio.watch_batch("0" * 16))
        with pytest.raises(Unavailable, match=target):
            list(studio.batches())


def test_ending_the_watching_leaves_the_batch_alone(studio: Studio, out: Path) -> None:
    batch = studio.create_batch("slow", to=out / "left", count=200, shard_size=32)
    changes = studio.watch_batch(batch.id)
    next(changes)
    changes.cancel()
    with pytest.raises(Cancelled):
        list(changes)
    *_, last = studio.watch_batch(batch.id)
    assert last.state is BatchState.SUCCEEDED


def test_the_same_with_asyncio(stack: Stack, out: Path) -> None:
    async def draw() -> None:
        async with AsyncStudio(stack.target) as studio:
            batch = await studio.create_batch(
                "slow", to=out / "aio", grid={"style": "*"}, count=200, shard_size=32, owner="aio"
            )
            seen: list[Batch] = []
            async for each in studio.watch_batch(batch.id):
                seen.append(each)
                if len(seen) == 3:
                    restart_service(stack)
            assert (seen[-1].state, seen[-1].drawn) == (BatchState.SUCCEEDED, 600)
            assert (await studio.batch(batch.id)) == replace(seen[-1], plans=batch.plans)
            assert [each.id async for each in studio.batches(owner="aio")] == [batch.id]
            with pytest.raises(WrongState):
                await studio.cancel_batch(batch.id)
            with pytest.raises(WrongState):
                await studio.retry_batch(batch.id)
            await studio.delete_batch(batch.id)
            with pytest.raises(NotFound):
                await studio.batch(batch.id)
            with pytest.raises(NotFound):
                await anext(studio.watch_batch(batch.id))

    asyncio.run(draw())


def test_cancelling_the_task_that_watches_leaves_the_batch_alone(stack: Stack, out: Path) -> None:
    async def watch() -> str:
        async with AsyncStudio(stack.target) as studio:
            batch = await studio.create_batch("slow", to=out / "aio-left", count=200, shard_size=32)
            begun = asyncio.Event()

            async def rest() -> None:
                async for _ in studio.watch_batch(batch.id):
                    begun.set()

            task = asyncio.create_task(rest())
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return batch.id

    id = asyncio.run(watch())
    with Studio(stack.target) as studio:
        eventually(lambda: studio.batch(id).state == "SUCCEEDED", 60)


def test_a_request_that_is_too_large_is_no_overload(studio: Studio, out: Path) -> None:
    """To come back later, as for a full queue, would not help."""
    labels = {f"{number:03}": "x" * 100_000 for number in range(60)}
    with pytest.raises(InvalidRequest) as caught:
        studio.create_batch("tiny", to=out / "large", count=1, labels=labels)
    assert not getattr(caught.value, "retry_after", None)
