"""ListBatches: newest first, page by page, whatever is created and deleted between pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.batch_hand import BatchHand, spec_of
from tests.service.calls import fields_of
from tests.service.conftest import Serving, serving_on
from tests.support.valkey import running_valkey
from unikat.v1.batches_pb2 import Batch, CreateBatchRequest, DeleteBatchRequest, ListBatchesRequest, Plan
from unikat.v1.studio_pb2 import ListModelsRequest

IDS = [f"{n:016x}" for n in range(30)]


@pytest.fixture
def shop() -> Iterator[Serving]:
    """A service with thirty batches: of three owners, one in three ended, one in five of these failed."""
    with running_valkey() as valkey, serving_on(valkey, UNIKAT_DESTINATIONS="/out") as serving:
        hand = BatchHand(serving.redis)
        for n, batch in enumerate(IDS):
            hand.store.create(batch, spec_of(batch, 10, owner=("anna", "bert", "cleo")[n % 3]), "content")
            if n % 3 == 0:
                hand.finish(batch, fail=(1,) if n % 5 == 0 else ())
        yield serving
        assert "Traceback" not in serving.program.output


def pages(serving: Serving, size: int, states: tuple[Batch.State, ...] = (), owner: str = "") -> Iterator[list[str]]:
    token = ""
    while True:
        request = ListBatchesRequest(page_size=size, page_token=token, states=states, owner=owner)
        response = serving.batches.ListBatches(request)
        yield [batch.id for batch in response.batches]
        token = response.next_page_token
        if not token:
            return


@pytest.mark.parametrize("size", [0, 1, 7, 10, 29, 30, 100_000])
def test_batches_are_listed_newest_first_page_by_page(shop: Serving, size: int) -> None:
    found = list(pages(shop, size))
    assert [batch for page in found for batch in page] == IDS[::-1]
    assert all(len(page) == size for page in found[:-1])
    assert found[-1]


def test_a_list_has_no_plans_but_all_else(shop: Serving) -> None:
    made = shop.batches.CreateBatch(CreateBatchRequest(model="tiny", plans=[Plan(count=9)], destination="/out/x"))
    listed = shop.batches.ListBatches(ListBatchesRequest(page_size=1)).batches[0]
    assert not listed.plans
    made.ClearField("plans")
    assert listed == made


@pytest.mark.parametrize(
    ("states", "owner", "expected"),
    [
        ((), "anna", range(0, 30, 3)),
        ((), "nobody", range(0)),
        ((Batch.STATE_QUEUED,), "", [n for n in range(30) if n % 3]),
        ((Batch.STATE_FAILED,), "", (0, 15)),
        ((Batch.STATE_SUCCEEDED, Batch.STATE_FAILED), "anna", range(0, 30, 3)),
        ((Batch.STATE_SUCCEEDED,), "bert", range(0)),
        ((Batch.STATE_CANCELLED, Batch.STATE_RUNNING), "", range(0)),
    ],
)
@pytest.mark.parametrize("size", [2, 50])
def test_batches_are_filtered_by_state_and_owner(
    shop: Serving, states: tuple[Batch.State, ...], owner: str, expected: list[int], size: int
) -> None:
    found = [batch for page in pages(shop, size, states, owner) for batch in page]
    assert found == [IDS[n] for n in expected][::-1]


def test_a_token_survives_the_deletion_of_what_it_points_at_and_new_batches(shop: Serving) -> None:
    anna = {"owner": "anna", "page_size": 3}
    first = shop.batches.ListBatches(ListBatchesRequest(**anna))  # type: ignore[arg-type]  # protobuf checks them
    assert [batch.id for batch in first.batches] == [IDS[27], IDS[24], IDS[21]]
    for n in (21, 24, 18):  # the last that was sent, one before it, and the next that would come
        shop.batches.DeleteBatch(DeleteBatchRequest(id=IDS[n]))
    shop.batches.CreateBatch(
        CreateBatchRequest(model="tiny", plans=[Plan(count=9)], destination="/out/new", owner="anna")
    )
    rest = shop.batches.ListBatches(ListBatchesRequest(page_token=first.next_page_token, owner="anna"))
    assert [batch.id for batch in rest.batches] == [IDS[n] for n in (15, 12, 9, 6, 3, 0)]
    assert not rest.next_page_token


def test_a_token_of_a_list_with_another_filter_is_refused(shop: Serving) -> None:
    asked = ListBatchesRequest(page_size=1, states=[Batch.STATE_QUEUED, Batch.STATE_FAILED], owner="bert")
    asked.page_token = shop.batches.ListBatches(asked).next_page_token
    for states, owner in (([], "bert"), ([Batch.STATE_QUEUED], "bert"), (asked.states, ""), (asked.states, "anna")):
        other = ListBatchesRequest(page_token=asked.page_token, states=states, owner=owner)
        fields = fields_of(shop.batches.ListBatches, other)
        assert list(fields) == ["page_token"]
        assert "other states or another owner" in fields["page_token"]
    same = ListBatchesRequest(page_token=asked.page_token, states=[*asked.states][::-1], owner="bert")
    assert [batch.id for batch in shop.batches.ListBatches(same).batches] == [IDS[n] for n in range(25, 0, -3)]


def test_batches_of_one_moment_are_all_listed_once(shop: Serving) -> None:
    shop.redis.zadd("unikat:batches", dict.fromkeys(IDS, 1e9))
    assert [batch for page in pages(shop, 7) for batch in page] == IDS[::-1]


def test_a_page_looks_at_a_bounded_number_of_batches_and_says_where_to_go_on(shop: Serving) -> None:
    """A filter that nothing matches must not read everything in one call."""
    many = {f"{n:016x}": 1e9 - n for n in range(100, 12_100)}
    shop.redis.zadd("unikat:batches", dict.fromkeys(IDS, 1.0) | many)  # of most there is only the name
    found = list(pages(shop, 50, (Batch.STATE_FAILED,)))
    assert found == [[], [], [IDS[15], IDS[0]]]


@pytest.mark.parametrize("states", [[0], [9], [1, -1], [6, 1]])
def test_states_that_there_are_not_are_refused(shop: Serving, states: list[Batch.State]) -> None:
    fields = fields_of(shop.batches.ListBatches, ListBatchesRequest(states=states))
    wrong = [i for i, state in enumerate(states) if not 1 <= state <= 5]
    assert list(fields) == [f"states[{i}]" for i in wrong]
    assert all("STATE_QUEUED" in text for text in fields.values())


def test_pages_are_refused_that_are_none(shop: Serving) -> None:
    assert list(fields_of(shop.batches.ListBatches, ListBatchesRequest(page_size=-1))) == ["page_size"]
    assert list(fields_of(shop.batches.ListBatches, ListBatchesRequest(owner="a b"))) == ["owner"]
    models = shop.stub.ListModels(ListModelsRequest())
    token = shop.batches.ListBatches(ListBatchesRequest(page_size=1)).next_page_token
    assert not models.next_page_token
    for wrong in (
        "x",
        "WzFd",
        "ü",
        "W1tb" * 250,
        "W1tb" * 999,
        "WyJiYXRjaGVzIiwgMSwgMl0=",
        "WyJtb2RlbHMiLCAidGlueUAxIl0=",
    ):
        assert list(fields_of(shop.batches.ListBatches, ListBatchesRequest(page_token=wrong))) == ["page_token"]
    assert list(fields_of(shop.stub.ListModels, ListModelsRequest(page_token=token))) == ["page_token"]
