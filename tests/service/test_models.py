"""ListModels and GetModel: what live workers serve, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.service.by_hand import described
from tests.service.calls import code_of, fields_of, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.service.test_health import health
from tests.support.processes import eventually
from tests.support.tiny_model import tiny_model
from tests.support.valkey import Valkey
from unikat.bundle import key_of
from unikat.errors import NotFound, Reason, Unavailable
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import GenerateRequest, GetModelRequest, ListModelsRequest

SERVED = [("tiny", 1), ("tiny", 2), ("tiny", 10), ("alpha", 3), ("zebra", 1)]
LISTED = ["alpha@3", "tiny@10", "tiny@2", "tiny@1", "zebra@1"]


@pytest.fixture(scope="module")
def listing(shared: Serving) -> Serving:
    """A service with several models, announced by two workers."""
    models = [described(tiny_model(name, version)) for name, version in SERVED]
    shared.hand.announce(*models[:3], name="w1")
    shared.hand.announce(*models[2:], name="w2")
    eventually(lambda: len(shared.stub.ListModels(ListModelsRequest()).models) == len(SERVED))
    return shared


def pages(serving: Serving, size: int) -> Iterator[list[Model]]:
    token = ""
    while True:
        response = serving.stub.ListModels(ListModelsRequest(page_size=size, page_token=token))
        yield list(response.models)
        token = response.next_page_token
        if not token:
            return


@pytest.mark.parametrize("size", [0, 1, 2, 5, 100_000])
def test_models_are_listed_by_name_and_newest_version_page_by_page(listing: Serving, size: int) -> None:
    found = list(pages(listing, size))
    assert [key_of(model) for page in found for model in page] == LISTED
    assert all(len(page) == size for page in found[:-1])
    assert not any(model.combinations for page in found for model in page)


def test_a_page_token_survives_a_model_that_appears_meanwhile(listing: Serving) -> None:
    first = listing.stub.ListModels(ListModelsRequest(page_size=2))
    newcomer = described(tiny_model("aardvark", 1))
    listing.hand.announce(newcomer, name="w3")
    eventually(lambda: listing.stub.ListModels(ListModelsRequest()).models[0].name == "aardvark")
    rest = listing.stub.ListModels(ListModelsRequest(page_token=first.next_page_token))
    assert [key_of(model) for model in (*first.models, *rest.models)] == LISTED


@pytest.mark.parametrize(
    "token", ["x", "bm9wZQ==", "WzFd", "eyJhIjogMX0=", "WyJtb2RlbHMiLCAidGlueSJd", "ü", "W1tb" * 250]
)
def test_a_token_that_is_not_ours_is_refused(shared: Serving, token: str) -> None:
    fields = fields_of(shared.stub.ListModels, ListModelsRequest(page_token=token))
    assert list(fields) == ["page_token"]


def test_a_negative_page_size_is_refused(shared: Serving) -> None:
    assert list(fields_of(shared.stub.ListModels, ListModelsRequest(page_size=-1))) == ["page_size"]


def test_a_name_alone_means_the_newest_version(listing: Serving) -> None:
    assert listing.stub.GetModel(GetModelRequest(name="tiny")).version == 10
    second = listing.stub.GetModel(GetModelRequest(name="tiny@2"))
    assert second == described(tiny_model("tiny", 2))  # complete, with its digest and combinations


def test_a_model_that_is_not_there_is_not_found_and_the_others_are_named(listing: Serving) -> None:
    error = refusal_of(listing.stub.GetModel, GetModelRequest(name="emoji"))
    assert isinstance(error, NotFound)
    assert error.reason == Reason.MODEL_NOT_FOUND
    assert '"alpha@3"' in error.fields["name"]


def test_a_malformed_name_is_refused(shared: Serving) -> None:
    for name in ("", "Tiny", "tiny@", "tiny@x", "tiny@1@2"):
        assert list(fields_of(shared.stub.GetModel, GetModelRequest(name=name))) == ["name"]


def test_a_new_model_can_be_asked_for_at_once(shared: Serving) -> None:
    for version in range(21, 26):
        shared.hand.announce(described(tiny_model("fresh", version)), name="w4")
        assert shared.stub.GetModel(GetModelRequest(name=f"fresh@{version}")).version == version


def test_what_a_broken_worker_says_does_not_hide_the_others(shared: Serving) -> None:
    shared.redis.set("unikat:worker:broken", b"{not JSON")
    shared.redis.zadd("unikat:workers", {"broken": 2e9})
    shared.hand.announce(described(tiny_model("sound", 1)), name="w5")
    assert shared.stub.GetModel(GetModelRequest(name="sound")).version == 1
    shared.redis.zrem("unikat:workers", "broken")


def test_without_workers_calls_are_told_so(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_WORKER_GRACE_S="0") as serving:
        assert serving.stub.ListModels(ListModelsRequest()).models
        serving.hand.bury()
        eventually(lambda: code_of(serving.stub.ListModels, ListModelsRequest()))
        for error in (
            refusal_of(serving.stub.ListModels, ListModelsRequest()),
            refusal_of(serving.stub.GetModel, GetModelRequest(name="tiny")),
            refusal_of(serving.generate, GenerateRequest(model="tiny", count=1)),
        ):
            assert isinstance(error, Unavailable)
            assert error.reason == Reason.NO_WORKER
            assert error.retry_after
        assert serving.hand.queued == []


def test_a_worker_that_is_started_again_is_nothing_but_a_pause(serving: Serving) -> None:
    serving.stub.GetModel(GetModelRequest(name="tiny"))
    serving.hand.bury()
    eventually(lambda: health(serving, "tiny") == HealthCheckResponse.NOT_SERVING)
    call = serving.generate(GenerateRequest(model="tiny", count=2))
    assert next(call).HasField("accepted")
    serving.hand.announce()
    serving.hand.take().complete()
    assert [r.WhichOneof("event") for r in call] == ["artwork", "artwork", "finished"]
