"""A batch is cut into shards that cover every image once, in order, whatever its cells."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.batch_hand import spec_of
from unikat.batches.spec import BatchSpec, Cell, ShardJob, grid_cells
from unikat.conditions import Weights


def of(styles: dict[str, float]) -> Weights:
    return {"style": styles}


cells = st.builds(
    Cell,
    st.sampled_from([{}, of({"ink": 1.0}), of({"ink": 0.25, "oil": 0.75}), {"subject": {"sea": 1.0}}]),
    st.integers(1, 50),
)


@settings(deadline=None)
@given(st.lists(cells, min_size=1, max_size=20), st.integers(1, 64))
def test_shards_cover_every_image_once_and_in_order(asked: list[Cell], size: int) -> None:
    spec = replace(spec_of("a"), cells=tuple(asked), shard_size=size)
    expected = [cell.weights for cell in asked for _ in range(cell.count)]
    shards = [spec.shard_job("b", shard) for shard in range(spec.shard_count)]
    assert [i for shard in shards for i in range(shard.first, shard.first + shard.count)] == list(range(spec.total))
    assert [cell.weights for shard in shards for cell, _ in shard.places] == expected
    assert all(shard.count == size for shard in shards[:-1])
    assert 0 < shards[-1].count <= size


@settings(deadline=None)
@given(st.lists(cells, min_size=1, max_size=20), st.integers(1, 64), st.integers(0, 2**64 - 1))
def test_what_is_stored_and_sent_comes_back_as_it_was(asked: list[Cell], size: int, seed: int) -> None:
    spec = replace(spec_of("a"), cells=tuple(asked), shard_size=size, seed=seed, labels={"for": "ü"})
    assert BatchSpec.from_json(*spec.to_json()) == spec
    for shard in range(spec.shard_count):
        job = spec.shard_job("b", shard)
        assert ShardJob.from_kwargs(json.loads(json.dumps(job.to_kwargs()))) == job


@pytest.mark.parametrize("shard", [-1, 3])
def test_a_shard_that_there_is_not_is_an_error(shard: int) -> None:
    with pytest.raises(IndexError, match="of 3"):
        spec_of("a", 12).shard_range(shard)


def test_a_grid_is_every_combination_with_the_last_axis_fastest() -> None:
    found = grid_cells({"style": ["ink", "oil"], "subject": ["sea", "hill"]}, {"mood": {"calm": 1.0}}, 3)
    assert [[next(iter(of)) for of in cell.weights.values()] for cell in found] == [
        ["calm", "ink", "sea"], ["calm", "ink", "hill"], ["calm", "oil", "sea"], ["calm", "oil", "hill"],
    ]  # fmt: skip
    assert [cell.count for cell in found] == [3] * 4


def test_the_fingerprint_is_that_of_the_files() -> None:
    spec = spec_of("a", 5, 7)
    assert replace(spec, destination="file:///b", owner="you", labels={"a": "b"}).fingerprint == spec.fingerprint
    others = [
        replace(spec, seed=8), replace(spec, truncation=0.6), replace(spec, digest="sha256:1"),
        replace(spec, image_format=2), replace(spec, layout=2), replace(spec, shard_size=5),
        replace(spec, cells=spec.cells[::-1]),
    ]  # fmt: skip
    assert len({other.fingerprint for other in (spec, *others)}) == 1 + len(others)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shard": -1}, {"first": "0"}, {"seed": 1.5}, {"batch": 7}, {"cells": [[["style"], 1]]}, {"cells": [[{}]]},
        {"cells": None}, {"cells": [[{}, -1]]},
    ],
)  # fmt: skip
def test_a_payload_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    kwargs = spec_of("a", 5).shard_job("b", 0).to_kwargs()
    with pytest.raises(ValueError, match="not a shard of a batch"):
        ShardJob.from_kwargs(kwargs | wrong)
    del kwargs["model"]
    with pytest.raises(ValueError, match="not a shard of a batch"):
        ShardJob.from_kwargs(kwargs)


def test_what_a_later_release_adds_is_no_reason_to_refuse_a_shard() -> None:
    job = spec_of("a", 5).shard_job("b", 0)
    assert ShardJob.from_kwargs(job.to_kwargs() | {"more": 1}) == job
