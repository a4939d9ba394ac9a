"""Estimates: what is said before is what the quotas charge afterwards, and nothing is drawn for it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest

from tests.service.by_hand import described
from tests.service.calls import error_from
from tests.service.conftest import Serving, serving_on
from tests.service.test_batches import OPEN, wish
from tests.support.processes import eventually
from tests.support.scrapes import ANY_PORT, scrape
from tests.support.tiny_model import tiny_model
from tests.support.valkey import Valkey, running_valkey
from tests.unikat.test_cli import unikat
from unikat import Studio
from unikat.errors import InvalidRequest, NotFound
from unikat.queue.batches.keys import batch_key
from unikat.v1.batches_pb2 import CancelBatchRequest
from unikat.v1.studio_pb2 import GenerateRequest, WorkEstimate

RATE = 100.0  # images a second that the announced worker says


@pytest.fixture(scope="module")
def shop() -> Iterator[Serving]:
    with running_valkey() as valkey, serving_on(valkey, **OPEN) as serving:
        yield serving


def estimated(shop: Serving, request: GenerateRequest) -> WorkEstimate:
    """The service's estimate."""
    found: WorkEstimate = shop.stub.EstimateWork(request, timeout=20)
    return found


def seconds(estimate: WorkEstimate, name: str) -> float:
    """One of its durations."""
    return float(getattr(estimate, name).ToTimedelta().total_seconds())


def test_what_is_estimated_is_what_the_quota_is_charged(shop: Serving) -> None:
    request = GenerateRequest(model="tiny", count=137, seed=3)
    estimate = estimated(shop, request)
    assert (estimate.model, estimate.count, estimate.worker_count) == ("tiny@1", 137, 1)
    assert (estimate.images_per_second, seconds(estimate, "work")) == (RATE, 1.37)
    assert (seconds(estimate, "ahead"), seconds(estimate, "expected")) == (0.0, 1.37)
    assert shop.hand.redis.keys("rq:job:*") == [], "nothing is enqueued"
    call = shop.generate(request)
    assert next(call).accepted.count == 137
    charged = shop.redis.hget("unikat:budget:", "seconds")
    assert float(charged or 0) == seconds(estimate, "work")
    behind = estimated(shop, request)
    assert seconds(behind, "ahead") == pytest.approx(1.37, abs=0.05), "it fades a little"
    assert seconds(behind, "expected") == pytest.approx(2.74, abs=0.05)
    call.cancel()
    eventually(lambda: not shop.redis.keys("unikat:budget:*"))


def test_a_batch_is_estimated_as_its_budget_is_charged(shop: Serving) -> None:
    estimate = shop.batches.EstimateBatch(wish(5000), timeout=20)
    assert (estimate.count, seconds(estimate, "work")) == (5000, 50.0)
    assert shop.redis.keys("unikat:batch:*") == []
    batch = shop.batches.CreateBatch(wish(5000), timeout=20)
    assert float(shop.redis.hget(batch_key(batch.id), "seconds") or 0) == 50.0
    behind = shop.batches.EstimateBatch(wish(100), timeout=20)
    assert (seconds(behind, "ahead"), seconds(behind, "expected")) == (50.0, 51.0)
    shop.batches.CancelBatch(CancelBatchRequest(id=batch.id))


def test_a_request_is_checked_as_the_call_checks_it(shop: Serving) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        estimated(shop, GenerateRequest(model="tiny", count=0))
    error = error_from(caught.value)
    assert isinstance(error, InvalidRequest)
    assert list(error.fields) == ["count"]
    with Studio(shop.target) as studio:
        with pytest.raises(NotFound, match='choose from "tiny@1"'):
            studio.estimate("titanic", count=3)
        with pytest.raises(InvalidRequest, match="destination"):
            studio.estimate_batch("tiny", to="/elsewhere", count=3)


def test_python_and_the_command_line_say_what_it_costs(shop: Serving) -> None:
    with Studio(shop.target) as studio:
        estimate = studio.estimate("tiny", {"style": "ink"}, count=360)
        assert (estimate.images, estimate.workers, estimate.work, estimate.images_per_second) == (360, 1, 3.6, RATE)
        assert estimate.price(2.5) == pytest.approx(0.0025)
        of_batch = studio.estimate_batch("tiny", to="/out/x", grid={"style": "*"}, count=1200)
        assert (of_batch.images, of_batch.work) == (3600, 36.0)
        assert of_batch.price(100.0) == pytest.approx(1.0)
    done = unikat("generate", "tiny", "-n", "360", "--estimate", "--price-per-hour", "2.50", UNIKAT_TARGET=shop.target)
    assert done.returncode == 0, done.stderr
    assert "360 images of tiny@1: 3.6 s of work for 1 worker (100.0 images/s together)." in done.stdout
    assert "At 2.50 for an hour of one worker: 0.0025." in done.stdout
    words = ("batch", "create", "tiny", "--grid", "style=*", "-n", "1200", "--to", "/out/x", "--estimate", "--json")
    told = json.loads(unikat(*words, "--price-per-hour", "100", UNIKAT_TARGET=shop.target).stdout)
    assert (told["images"], told["work"], told["price"]) == (3600, 36.0, pytest.approx(1.0))


def test_workers_that_have_drawn_nothing_yet_do_not_make_what_waits_look_longer(valkey: Valkey) -> None:
    new = tiny_model("new")
    new.digest = "sha256:" + "ab" * 32
    with serving_on(valkey, UNIKAT_METRICS=ANY_PORT) as serving:
        call = serving.generate(GenerateRequest(model="tiny", count=50))
        next(call)
        for number in range(9):
            serving.hand.announce(described(tiny_model()), new, name=f"fresh{number}", images=0.0)
        eventually(lambda: scrape(serving.program).total("unikat_service_model_workers", model="tiny@1") == 10)
        found = scrape(serving.program)
        call.cancel()
    assert found.by("unikat_service_model_images_per_second", "model") == {"tiny@1": RATE, "new@1": 0}
    assert found.by("unikat_queue_work_seconds", "model") == {"tiny@1": pytest.approx(50 / RATE)}
    assert set(found.by("unikat_batches_work_seconds", "model")) == {"tiny@1"}, "nobody has said how fast new@1 is"


def test_where_no_worker_has_drawn_yet_nothing_is_known(shop: Serving) -> None:
    new = tiny_model("new")
    new.digest = "sha256:" + "ab" * 32
    shop.hand.announce(new, name="fresh", images=0.0)
    with Studio(shop.target) as studio:
        estimate = eventually(lambda: studio.estimate("new", count=5))
    assert (estimate.work, estimate.expected, estimate.images_per_second, estimate.price(1)) == (None,) * 4
    done = unikat("generate", "new", "-n", "5", "--estimate", UNIKAT_TARGET=shop.target)
    assert "not known, because none has drawn for a call yet" in done.stdout
