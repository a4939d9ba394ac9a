"""What service and worker tell Prometheus is what callers saw."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import grpc
import pytest
from grpc_status import rpc_status
from redis import Redis
from rq.suspension import resume, suspend

from tests.end_to_end.shop import Shop, plan, running_shop
from tests.end_to_end.stack import running_stack
from tests.service.calls import Responses
from tests.support.processes import eventually
from tests.support.scrapes import ANY_PORT, Scrape, promtool, scrape
from tests.support.tiny_model import write_tiny_bundle
from unikat.errors import UnikatError
from unikat.v1.batches_pb2 import Batch, WatchBatchRequest
from unikat.v1.studio_pb2 import GenerateRequest, GenerateResponse, Timings
from unikat.v1.studio_pb2_grpc import StudioStub

__all__ = ["promtool"]  # a fixture

QUEUE: Final = 3  # jobs that may wait
STAGES: Final = ("queued", "batched", "drawn", "encoded")
OK: Final = ("OK", "")


@dataclass
class Counted:
    """What a caller saw."""

    channel: grpc.Channel
    ends: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # method, code, reason
    images: int = 0
    bytes: int = 0
    calls_with_images: int = 0
    seconds: Counter[str] = field(default_factory=Counter)  # by stage  # type: ignore[assignment]

    @property
    def stub(self) -> StudioStub:
        return StudioStub(self.channel)

    def generate(self, request: GenerateRequest, timeout: float = 30.0) -> None:
        """A call to its end."""
        got = self.images
        try:
            for response in self.stub.Generate(request, timeout=timeout):
                self._see(response)
        except grpc.RpcError as error:
            self._failed("Generate", error)
        else:
            self.ends["Generate", *OK] += 1
        self.calls_with_images += self.images > got

    def draw(self, request: GenerateRequest) -> None:
        """One image."""
        try:
            artwork = self.stub.Draw(request, timeout=30.0)
        except grpc.RpcError as error:
            self._failed("Draw", error)
            return
        self.ends["Draw", *OK] += 1
        self.calls_with_images += 1
        artwork.ClearField("accepted")
        self._see(GenerateResponse(artwork=artwork))

    def _see(self, response: GenerateResponse) -> None:
        if response.HasField("accepted"):
            return
        self.bytes += response.ByteSize()
        if response.HasField("artwork"):
            self.images += 1
            timings: Timings = response.artwork.timings
            for stage in STAGES:
                self.seconds[stage] += getattr(timings, stage).ToNanoseconds() / 1e9

    def _failed(self, method: str, error: grpc.RpcError) -> None:
        assert isinstance(error, grpc.Call)
        self.ends[method, error.code().name, reason_of(error)] += 1


def reason_of(error: grpc.RpcError) -> str:
    """What ErrorInfo says; of what gRPC itself ended, what the service says of it."""
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    return UnikatError(status).reason if status else error.code().name


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models, work=20)
    write_tiny_bundle(models, "other")
    folder = tmp_path_factory.mktemp("open")
    with running_shop(models, folder, UNIKAT_METRICS=ANY_PORT, UNIKAT_MAX_QUEUE=str(QUEUE)) as shop:
        yield shop


def of_service(shop: Shop) -> Scrape:
    assert shop.stack.service is not None
    return scrape(shop.stack.service)


def of_worker(shop: Shop) -> Scrape:
    return scrape(shop.stack.workers[0])


def load(shop: Shop, counted: Counted) -> int:
    """Calls of all kinds; the images of a batch that was written meanwhile."""
    dice = random.Random(13)
    batch = shop.create("load", plans=plan(70), shard_size=32)
    for seed in range(20):
        counted.generate(
            GenerateRequest(model=dice.choice(["tiny", "other"]), count=dice.randint(1, 40), seed=seed + 1)
        )
        counted.draw(GenerateRequest(model="tiny", seed=seed + 1))
    counted.generate(GenerateRequest(model="nobody"))
    counted.generate(GenerateRequest(model="tiny", count=1_000_000))
    counted.draw(GenerateRequest(model="tiny", conditions=[{"attribute": "style", "category": "lace"}]))
    assert shop.calls.finish(batch.id).state == Batch.STATE_SUCCEEDED
    watch = shop.calls.stub.WatchBatch(WatchBatchRequest(id=batch.id), timeout=20)
    assert [each.drawn_count for each in watch] == [70]
    return 70


def suspend_worker(shop: Shop, redis: Redis) -> None:
    """It takes no jobs when this returns: what it asked for before was answered."""
    suspend(redis)
    shop.stack.workers[0].wait_for_line("suspended by `rq suspend`")
    before = of_worker(shop).total("unikat_worker_redis_round_trips_total")
    eventually(lambda: of_worker(shop).total("unikat_worker_redis_round_trips_total") > before)


def fill_the_queue(shop: Shop, counted: Counted, redis: Redis) -> None:
    """With a worker that takes nothing: calls that wait are counted, refused, cut off and cancelled."""
    suspend_worker(shop, redis)
    # A call is charged at the rate that its service knows: what a worker says with a beat, as of the last look at it.
    eventually(lambda: of_service(shop).total("unikat_service_model_images_per_second", model="tiny@1") > 0)
    request = GenerateRequest(model="tiny", count=5)
    waiting = [cast(Responses, counted.stub.Generate(request, timeout=30)) for _ in range(QUEUE)]
    try:
        assert all(next(call).HasField("accepted") for call in waiting)
        counted.generate(GenerateRequest(model="tiny", count=2))
        found = of_service(shop)
        assert found.by("unikat_queue_jobs", "model") == {"tiny@1": QUEUE, "other@1": 0}
        assert found.by("unikat_queue_images", "model") == {"tiny@1": 5 * QUEUE, "other@1": 0}
        assert found.total("unikat_queue_work_seconds", model="tiny@1") > 0
        assert found.total("unikat_queue_charged_seconds") > 0
        assert found.total("unikat_service_jobs") == found.total("unikat_service_calls") == QUEUE
        assert {
            setting: number
            for setting, number in found.by("unikat_service_refusals_total", "setting").items()
            if number
        } == {"--max-queue": 1}
    finally:
        for call in waiting:
            call.cancel()
    counted.ends["Generate", "CANCELLED", "CANCELLED"] += QUEUE
    eventually(lambda: of_service(shop).total("unikat_queue_jobs") == 0)
    counted.generate(GenerateRequest(model="tiny"), timeout=0.5)
    eventually(lambda: of_service(shop).total("unikat_service_jobs") == 0)
    resume(redis)
    shop.stack.workers[0].wait_for_line("resumed")


@pytest.mark.timeout(240)
def test_a_scrape_adds_up_with_what_callers_counted(shop: Shop) -> None:
    with grpc.insecure_channel(shop.stack.target) as channel:
        counted = Counted(channel)
        written = load(shop, counted)
        fill_the_queue(shop, counted, shop.stack.redis)
        counted.generate(GenerateRequest(model="tiny", count=3))
    eventually(lambda: of_service(shop).total("unikat_service_calls") == 0)
    check_service(of_service(shop), counted)
    eventually(lambda: of_worker(shop).total("unikat_worker_jobs_in_hand") == 0)
    check_worker(of_worker(shop), counted, written)


def check_service(service: Scrape, counted: Counted) -> None:
    ends = {
        (sample.labels["method"], sample.labels["code"], sample.labels["reason"]): 0.0
        for family in service.families for sample in family.samples if sample.name == "unikat_service_requests_total"
    }  # fmt: skip
    for method, code, reason in ends:
        ends[method, code, reason] = service.total(
            "unikat_service_requests_total", method=method, code=code, reason=reason
        )
    studio = {end: number for end, number in ends.items() if end[0] in ("Generate", "Draw")}
    assert studio == counted.ends
    assert ends["CreateBatch", *OK] == ends["WatchBatch", *OK] == 1
    assert set(service.by("unikat_service_requests_total", "caller_class")) == {"anonymous"}
    assert set(service.by("unikat_service_requests_total", "model", code="OK")) == {"tiny@1", "other@1", ""}
    assert service.total("unikat_service_request_seconds_count") == sum(ends.values())
    assert service.total("unikat_service_images_total") == counted.images
    assert service.total("unikat_service_sent_bytes_total") == counted.bytes
    streamed = counted.images - counted.ends["Draw", *OK]
    assert service.total("unikat_service_delivered_seconds_count") == streamed
    assert service.total("unikat_service_first_image_seconds_count") == counted.calls_with_images
    assert service.total("unikat_service_workers") == service.total("unikat_service_model_workers", model="tiny@1") == 1
    assert service.total("unikat_service_redis_up") == 1
    assert service.total("unikat_batches_open") == service.total("unikat_batches_images") == 0
    assert service.total("process_resident_memory_bytes") > 1e6


def check_worker(worker: Scrape, counted: Counted, written: int) -> None:
    finished = sum(number for (_, code, _), number in counted.ends.items() if code == "OK")
    drawn = worker.by("unikat_worker_drawn_images_total", "kind")
    assert drawn == {"call": counted.images, "shard": written}
    assert worker.total("unikat_worker_published_images_total") == counted.images
    assert worker.total("unikat_worker_written_images_total") == written
    assert worker.by("unikat_worker_jobs_total", "kind", ending="finished") == {
        "call": finished,
        "shard": 3,
        "close": 1,
    }
    assert worker.total("unikat_worker_batch_images_sum") == counted.images + written
    for stage in STAGES:
        labels = {} if stage in ("queued", "batched") else {"kind": "call"}
        assert worker.total(f"unikat_worker_{stage}_seconds_count", **labels) == counted.images
        seconds = worker.total(f"unikat_worker_{stage}_seconds_sum", **labels)
        assert seconds == pytest.approx(
            counted.seconds[stage], rel=1e-3, abs=1e-5 * counted.images
        )  # they say microseconds
    assert worker.total("unikat_worker_published_seconds_count") == counted.images
    assert worker.total("unikat_worker_lease_renewals_total") > 0
    assert worker.total("unikat_worker_session_bytes", model="tiny@1") > 0
    assert worker.total("unikat_worker_session_runs_total") > 0
    assert worker.total("unikat_worker_redis_sent_bytes_total") > counted.bytes  # what was published, and more


def test_a_job_that_is_taken_from_a_dead_worker_is_counted_once(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, work=8000)
    with running_stack(tmp_path, workers=2, UNIKAT_METRICS=ANY_PORT, UNIKAT_LEASE_S="1") as stack:
        with grpc.insecure_channel(stack.target) as channel:
            responses = cast(
                Responses, StudioStub(channel).Generate(GenerateRequest(model="tiny", count=300), timeout=90)
            )
            assert next(responses).HasField("accepted")
            assert next(responses).artwork.index == 0
            stack.kill(stack.drawing())
            (other,) = stack.workers
            eventually(lambda: scrape(other).total("unikat_worker_recovered_jobs_total") == 1)
            assert sum(response.HasField("artwork") for response in responses) == 299
        eventually(lambda: scrape(other).total("unikat_worker_jobs_total", ending="finished") == 1)
        found = scrape(other)
        assert found.total("unikat_worker_given_up_jobs_total") == found.total("unikat_worker_retries_total") == 0
        assert stack.service is not None
        assert scrape(stack.service).total("unikat_service_images_total") == 300


def test_a_batch_in_hand_is_no_work_of_calls_and_takes_what_its_model_takes(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models", work=4000)  # about 8 ms an image
    with running_shop(tmp_path / "models", tmp_path / "open", UNIKAT_METRICS=ANY_PORT) as shop:
        batch = shop.create("only", plans=plan(2000), shard_size=1000)
        eventually(lambda: of_worker(shop).total("unikat_worker_drawn_images_total", kind="shard"))
        found = of_worker(shop)
        shop.calls.cancel(batch.id)
    assert found.total("unikat_worker_images_per_second") == 0, "no call has shown a rate"
    assert found.by("unikat_worker_work_seconds", "model", kind="call") == {"tiny@1": 0}
    assert 0 < found.total("unikat_worker_work_seconds", kind="shard") < 200  # at 1 s an image, about 1000 or 2000
    assert found.by("unikat_worker_written_images_total", "model") == {"tiny@1": 0}, "an increase begins at 0"


def test_nothing_is_served_without_the_setting(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models")
    with running_shop(tmp_path / "models", tmp_path / "open") as shop:
        assert shop.stack.service is not None
        for program in (shop.stack.service, *shop.stack.workers):
            assert "Prometheus" not in program.output


@pytest.mark.parametrize("part", ["service", "worker"])
def test_promtool_finds_nothing_to_say(shop: Shop, promtool: str, part: str) -> None:
    text = (of_service(shop) if part == "service" else of_worker(shop)).text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
