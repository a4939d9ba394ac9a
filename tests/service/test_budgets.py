"""What calls and batches may take: in all and of one caller, by several services as by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.drills.named import Names
from tests.service.batch_hand import BatchHand
from tests.service.calls import Responses, error_from, indices, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.service.test_batches import OPEN, wish
from tests.support.processes import eventually
from tests.support.valkey import Valkey
from unikat.errors import Overloaded, Reason, UnikatError
from unikat.queue.stream import stream_key
from unikat.v1.batches_pb2 import Batch, DeleteBatchRequest, ListBatchesRequest
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.studio_pb2 import GenerateRequest
from unikat.v1.studio_pb2_grpc import StudioStub


class Two:
    """Two services on one Valkey, and callers with names."""

    def __init__(self, names: Names, services: list[Serving]) -> None:
        self.names, self.services, self.redis, self.hand = names, services, services[0].redis, services[0].hand
        self._open = ExitStack()

    def caller(self, name: str, service: int = 0) -> grpc.Channel:
        """A channel of a caller."""
        return self._open.enter_context(self.names.channel(name, self.services[service].target))

    def begin(self, name: str, count: int = 1, service: int = 0) -> Responses | UnikatError:
        """A call that is accepted, or why not."""
        request = GenerateRequest(model="tiny", count=count)
        call = cast(Responses, StudioStub(self.caller(name, service)).Generate(request, timeout=60))
        try:
            next(call)
        except grpc.RpcError as error:
            return error_from(error)
        return call

    def close(self) -> None:
        self._open.close()


@contextmanager
def two_services(valkey: Valkey, folder: Path, **settings: str) -> Iterator[Two]:
    names = Names(folder)
    with ExitStack() as services:
        started = [services.enter_context(serving_on(valkey, **names.settings, **settings)) for _ in range(2)]
        two = Two(names, started)
        try:
            yield two
        finally:
            two.close()
        assert not any("Traceback" in each.program.output for each in started)


def refused(outcome: object, reason: Reason, setting: str) -> float:
    """Seconds until another try makes sense; an assertion fails unless the limit and its setting are named."""
    assert isinstance(outcome, Overloaded), outcome
    assert outcome.reason == reason
    info = ErrorInfo()
    assert any(detail.Unpack(info) for detail in outcome.status.details)
    assert info.metadata["setting"] == setting
    assert setting in str(outcome)
    assert info.metadata["limit"] in str(outcome) or reason == Reason.QUEUE_FULL
    assert outcome.retry_after
    return outcome.retry_after


def test_images_a_minute_are_counted_by_two_services_as_by_one(valkey: Valkey, tmp_path: Path) -> None:
    with two_services(valkey, tmp_path, UNIKAT_CALLER_IMAGES_PER_MINUTE="1200") as two:
        outcomes = [two.begin("anna", 200, n % 2) for n in range(7)]
        assert [isinstance(outcome, UnikatError) for outcome in outcomes] == [False] * 6 + [True]
        refused(outcomes[-1], Reason.QUOTA_EXCEEDED, "--caller-images-per-minute")
        assert not isinstance(two.begin("bert", 1200), UnikatError), "a quota of anna's is none of bert's"
        wait = refused(two.begin("anna", 100), Reason.QUOTA_EXCEEDED, "--caller-images-per-minute")
        assert wait <= 5, "twenty images a second"
        time.sleep(wait)
        assert not isinstance(two.begin("anna", 100, 1), UnikatError), "RetryInfo says when there is room"


def test_calls_in_progress_are_counted_by_two_services_as_by_one(valkey: Valkey, tmp_path: Path) -> None:
    with two_services(valkey, tmp_path, UNIKAT_CALLER_CALLS="10") as two:
        channels = [two.caller("anna", n) for n in range(2)]

        def begin(n: int) -> Responses | None:
            request = GenerateRequest(model="tiny", count=1)
            call = cast(Responses, StudioStub(channels[n % 2]).Generate(request, timeout=60))
            try:
                next(call)
            except grpc.RpcError as error:
                refused(error_from(error), Reason.QUOTA_EXCEEDED, "--caller-calls")
                return None
            return call

        with ThreadPoolExecutor(16) as threads:
            calls = [call for call in threads.map(begin, range(40)) if call is not None]
        assert len(calls) == 10
        assert not isinstance(two.begin("bert"), UnikatError)
        calls[0].cancel()
        assert not isinstance(eventually(lambda: begin(0)), UnikatError)
        two.services[1].program.kill()  # its calls are over, which it can tell nobody
        eventually(lambda: begin(0), deadline=40, pause=1.0)


def test_work_that_calls_amount_to_is_bounded_of_one_caller_and_of_all(valkey: Valkey, tmp_path: Path) -> None:
    # The worker says that it draws 100 images a second.
    with two_services(valkey, tmp_path, UNIKAT_MAX_WORK_S="10", UNIKAT_CALLER_PERCENT="40") as two:
        calls = [two.begin("anna", 200, n) for n in range(2)]
        refused(two.begin("anna", 1), Reason.QUOTA_EXCEEDED, "--caller-percent")
        calls += [two.begin("bert", 400, 1), two.begin("carl", 200)]
        refused(two.begin("dora", 1), Reason.QUEUE_FULL, "--max-work-s")
        for call in calls:
            assert not isinstance(call, UnikatError)
            call.cancel()
        eventually(lambda: not two.redis.keys("unikat:budget:*"))
        assert not isinstance(two.begin("dora", 4000), UnikatError), "what is too large for any moment is let in alone"
        assert not isinstance(two.begin("anna", 1), UnikatError), "and leaves others their part"


def test_bytes_that_calls_may_take_are_bounded_and_given_back_with_their_end(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_MAX_WAITING_MB="1") as serving:
        calls = []
        for _ in range(1000):
            calls.append(serving.generate(GenerateRequest(model="tiny", count=20)))
            try:
                next(calls[-1])
            except grpc.RpcError as error:
                refused(error_from(error), Reason.QUEUE_FULL, "--max-waiting-mb")
                break
        assert 8 <= len(calls) <= 14, "of 20 images of 4 kB"
        serving.hand.take().complete()
        assert indices(calls[0]) == list(range(20))
        again = eventually(lambda: _accepted(serving))
        assert again


def _accepted(serving: Serving) -> bool:
    try:
        return next(serving.generate(GenerateRequest(model="tiny", count=1))).HasField("accepted")
    except grpc.RpcError:
        return False


def test_a_caller_that_vanishes_leaves_no_images(serving: Serving) -> None:
    for complete in (False, True):
        call = serving.generate(GenerateRequest(model="tiny", count=20))
        job = serving.hand.take(50_000)
        job.publish(*range(19))
        assert next(call).accepted.job_id == job.job_id
        if complete:
            job.publish(19)
            job.finish()
        call.cancel()
        key = stream_key(job.job_id)
        eventually(lambda key=key: serving.redis.xlen(key) <= 1 or serving.redis.ttl(key) <= 30)  # type: ignore[misc]  # bound now


def test_more_calls_than_a_service_serves_are_told_so_and_health_answers(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_MAX_CALLS="5") as serving:
        calls = [serving.generate(GenerateRequest(model="tiny", count=1)) for _ in range(5)]
        assert all(next(call).HasField("accepted") for call in calls)
        refused(refusal_of(serving.generate, GenerateRequest(model="tiny")), Reason.TOO_MANY_CALLS, "--max-calls")
        refused(refusal_of(serving.batches.ListBatches, ListBatchesRequest()), Reason.TOO_MANY_CALLS, "--max-calls")
        for method in ("Studio/Generate", "Batches/ListBatches"):
            serving.program.wait_for_line(rf'refused .* method="/unikat.v1.{method}" why="this service serves 5 calls')
        assert HealthStub(serving.channel).Check(HealthCheckRequest()).status == 1
        calls[0].cancel()
        eventually(lambda: _accepted(serving))


def test_batches_are_bounded_of_one_owner_and_of_all(valkey: Valkey, tmp_path: Path) -> None:
    limits = {"UNIKAT_MAX_OPEN_BATCHES": "8", "UNIKAT_MAX_BATCH_HOURS": "10", "UNIKAT_CALLER_PERCENT": "50"}
    with two_services(valkey, tmp_path, **limits, **OPEN) as two:
        channels = {name: [two.caller(name, n) for n in range(2)] for name in ("anna", "bert", "carl")}

        def create(name: str, n: int, count: int = 100) -> Batch | UnikatError:
            try:
                asked = wish(count, f"{name}{n}", destination=f"/out/{name}{n}")
                return BatchesStub(channels[name][n % 2]).CreateBatch(asked, timeout=60)
            except grpc.RpcError as error:
                return error_from(error)

        with ThreadPoolExecutor(8) as threads:
            outcomes = list(threads.map(lambda n: create("anna", n), range(12)))
        assert sum(isinstance(each, Batch) for each in outcomes) == 4
        for each in outcomes:
            if isinstance(each, UnikatError):
                refused(each, Reason.QUOTA_EXCEEDED, "--caller-percent")
        assert all(isinstance(create("bert", n), Batch) for n in range(4))
        refused(create("carl", 0), Reason.QUEUE_FULL, "--max-open-batches")
        BatchHand(two.redis).finish(next(each.id for each in outcomes if isinstance(each, Batch)))
        assert isinstance(create("carl", 1, 900_000), Batch), "nine thousand seconds"
        BatchHand(two.redis).finish(next(each.id for each in outcomes[::-1] if isinstance(each, Batch)))
        refused(create("carl", 2, 1_000_000), Reason.QUOTA_EXCEEDED, "--caller-percent")


def test_bytes_of_batches_count_until_they_are_forgotten(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_MAX_BATCH_MB="1", **OPEN) as serving:
        asked = [wish(10_000, f"r{n}", destination=f"/out/{n}", shard_size=1) for n in range(4)]
        made = [serving.batches.CreateBatch(each, timeout=60).id for each in asked[:3]]
        refused(refusal_of(serving.batches.CreateBatch, asked[3]), Reason.QUEUE_FULL, "--max-batch-mb")
        hand = BatchHand(serving.redis)
        hand.store.cancel(made[0])
        hand.close(made[0])
        assert isinstance(refusal_of(serving.batches.CreateBatch, wish(10_000, "s", shard_size=1)), Overloaded)
        serving.batches.DeleteBatch(DeleteBatchRequest(id=made[0]))
        assert serving.batches.CreateBatch(wish(10_000, "s", shard_size=1), timeout=60).id
        assert _accepted(serving), "a call is none of the batches' business"


def test_ended_batches_are_forgotten_after_a_while_and_lists_stay_right(valkey: Valkey) -> None:
    with serving_on(valkey, **OPEN) as serving:
        hand = BatchHand(serving.redis)
        ids = [serving.batches.CreateBatch(wish(10, f"r{n}", destination=f"/out/{n}")).id for n in range(30)]
        for batch in ids[::3]:
            hand.finish(batch)
        page = serving.batches.ListBatches(ListBatchesRequest(page_size=7))
        time.sleep(0.05)
        late = ids[1]
        assert sorted(hand.store.expire(0.05)) == sorted(ids[::3])
        hand.finish(late)
        assert hand.store.expire(60) == []
        left = [batch for n, batch in enumerate(ids) if n % 3]
        rest = [each.id for each in page.batches]
        while page.next_page_token:
            page = serving.batches.ListBatches(ListBatchesRequest(page_size=7, page_token=page.next_page_token))
            rest += [each.id for each in page.batches]
        assert len(rest) == len(set(rest))
        assert set(left) <= set(rest)
        assert not [key for batch in ids[::3] for key in serving.redis.keys(f"*{batch}*")]
        assert serving.redis.hget("unikat:batches:bytes", "") == serving.redis.hget("unikat:batches:bytes", "default")


def test_a_service_forgets_by_itself(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_BATCH_TTL_DAYS="0.00001", **OPEN) as serving:
        batch = serving.batches.CreateBatch(wish(10)).id
        BatchHand(serving.redis).finish(batch)
        eventually(lambda: not serving.redis.keys(f"*{batch}*"))
        assert not serving.redis.exists("unikat:batches:bytes")
        assert not serving.redis.zcard("unikat:batches")
