"""What RQ, its tools and the caller are told when a job does not simply end well."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest
from google.rpc.code_pb2 import Code
from rq import Callback, Queue, Worker
from rq.command import send_stop_job_command
from rq.job import Job
from rq.registry import CanceledJobRegistry
from rq.serializers import DefaultSerializer, JSONSerializer

from tests.support.processes import Program, eventually, stopped
from tests.worker.bench import Bench, assert_complete
from unikat.bundle import Bundle
from unikat.errors import Cancelled, DeadlineExceeded, JobFailed, Reason, error_of, make_status
from unikat.queue.keys import DRAW
from unikat.queue.stream import END_ID, STATUS, stream_key
from unikat.queue.workers import MODELS_KEY, WorkerStatus, worker_key
from unikat_worker.sweeper import Sweeper

pytestmark = [pytest.mark.xdist_group("worker-settling"), pytest.mark.usefixtures("shared_worker")]

CANCELLED = make_status(Code.CANCELLED, "cancelled by the caller", Reason.CANCELLED)


def test_a_finished_job_is_finished_for_rq(shared_bench: Bench, shared_bundle: Bundle, shared_worker: Program) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=2)
    assert_complete(shared_bench.outcome(job), 2)
    shared_bench.wait_for_state(job, "finished")
    queue = shared_bench.queue
    eventually(lambda: job.id not in queue.started_job_registry)
    assert job.id in queue.finished_job_registry
    assert job.id not in queue.intermediate_queue.get_job_ids()
    assert job.return_value() == {"images": 2, "attempts": 1}
    assert 0 < shared_bench.redis.ttl(job.key) <= 600
    assert not shared_bench.redis.keys(f"rq:execution:{job.id}:*")
    (worker,) = Worker.all(connection=shared_bench.redis)
    assert worker.pid == shared_worker.process.pid
    assert worker.successful_job_count >= 1


def test_a_job_that_is_being_drawn_is_started_for_rq(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=4000)
    shared_bench.wait_for_state(job, "started")
    queue = shared_bench.queue
    # Looking at the registry sweeps it, as every dashboard does: this must not disturb the job.
    assert queue.started_job_registry.get_job_ids() == [job.id]
    (worker,) = Worker.all(connection=shared_bench.redis)
    assert shared_bench.redis.hget(job.key, "worker_name") == worker.name.encode()
    assert job.id in [execution.job_id for execution in worker.get_current_executions()]
    assert_complete(shared_bench.outcome(job), 4000)
    shared_bench.wait_for_state(job, "finished")


def test_a_cancelled_job_stops_within_a_batch(
    shared_bench: Bench, shared_bundle: Bundle, shared_worker: Program
) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=4000)
    eventually(lambda: shared_bench.published(job) > 0)
    with stopped(shared_worker):  # it could draw all of them in between
        close_stream(shared_bench, job)
    probe = shared_bench.enqueue(shared_bundle.model.digest, count=1)
    assert_complete(shared_bench.outcome(probe), 1)
    shared_bench.wait_for_state(job, "canceled", deadline=2.0)
    assert not shared_bench.redis.zcard(shared_bench.queue.started_job_registry.key)
    outcome = shared_bench.outcome(job)
    assert outcome.status is not None
    assert isinstance(error_of(outcome.status), Cancelled)
    assert len(outcome.artworks) < 4000
    assert job.id not in shared_bench.queue.failed_job_registry
    assert job.id in CanceledJobRegistry(queue=shared_bench.queue).get_job_ids()


def test_a_job_that_rq_cancelled_too_stays_cancelled(
    shared_bench: Bench, shared_bundle: Bundle, shared_worker: Program
) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=4000)
    shared_bench.wait_for_state(job, "started")
    with stopped(shared_worker):  # it could draw all of them in between
        job.cancel()
        close_stream(shared_bench, job)
    probe = shared_bench.enqueue(shared_bundle.model.digest, count=1)
    assert_complete(shared_bench.outcome(probe), 1)
    shared_bench.wait_for_state(probe, "finished")
    assert shared_bench.state(job) == "canceled"


def test_a_job_cancelled_in_the_queue_is_never_drawn(
    shared_bench: Bench, shared_bundle: Bundle, shared_worker: Program
) -> None:
    with stopped(shared_worker):
        job = shared_bench.enqueue(shared_bundle.model.digest, count=3)
        close_stream(shared_bench, job)
        job.cancel()
        late = shared_bench.enqueue(shared_bundle.model.digest, count=3)
        close_stream(shared_bench, late)  # the service died before it could tell RQ
    shared_bench.wait_for_state(late, "canceled")
    assert shared_bench.state(job) == "canceled"
    assert shared_bench.outcome(job).ids == [END_ID]
    assert shared_bench.outcome(late).ids == [END_ID]


def test_a_job_past_its_deadline_ends_with_it(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=3, deadline=time.time() - 1)
    outcome = shared_bench.outcome(job)
    assert outcome.status is not None
    assert isinstance(error_of(outcome.status), DeadlineExceeded)
    assert not outcome.artworks
    shared_bench.wait_for_state(job, "canceled")


def test_a_deadline_passes_while_the_job_is_drawn(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=100_000, deadline=time.time() + 2.0)
    outcome = shared_bench.outcome(job)
    assert outcome.status is not None
    assert outcome.status.code == Code.DEADLINE_EXCEEDED
    assert outcome.artworks
    assert [artwork.index for artwork in outcome.artworks] == list(range(len(outcome.artworks)))


def test_rqs_stop_command_stops_a_job(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=100_000)
    shared_bench.wait_for_state(job, "started")
    send_stop_job_command(shared_bench.redis, job.id, serializer=JSONSerializer)
    outcome = shared_bench.outcome(job, deadline=5.0)
    assert outcome.status is not None
    assert outcome.status.code == Code.CANCELLED
    shared_bench.wait_for_state(job, "stopped")


def test_a_job_that_fails_every_time_lands_in_the_failed_registry(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, weights={"style": {"crayon": 1.0}}, retries=2)
    outcome = shared_bench.outcome(job)
    assert outcome.status is not None
    assert isinstance(error_of(outcome.status), JobFailed)
    shared_bench.wait_for_state(job, "failed")
    assert job.id in shared_bench.queue.failed_job_registry
    assert shared_bench.redis.hget(job.key, "retries_left") == b"0"
    result = job.latest_result()
    assert result is not None
    assert "crayon" in str(result.exc_string)


def test_a_pickle_is_refused_and_never_loaded(shared_bench: Bench, tmp_path: Path) -> None:
    proof = tmp_path / "pickle-was-loaded"
    queue = Queue(shared_bench.queue.name, connection=shared_bench.redis, serializer=DefaultSerializer)
    job = queue.enqueue(DRAW, Bomb(proof), job_timeout=-1)
    shared_bench.ring()
    outcome = shared_bench.outcome(job)
    assert outcome.status is not None
    assert outcome.status.code == Code.INTERNAL
    shared_bench.wait_for_state(job, "failed")
    assert not proof.exists()
    pickle.loads(job.data)  # noqa: S301  (the bomb is real: it goes off here)
    assert proof.exists()


@pytest.mark.parametrize(
    ("function", "kwargs"),
    [
        ("os.getcwd", {}),
        (DRAW, {"model": "tiny@1"}),
        (DRAW, {"cat": "dog"}),
    ],
)
def test_a_payload_that_is_not_a_draw_job_is_refused(
    shared_bench: Bench, function: str, kwargs: dict[str, str]
) -> None:
    job = shared_bench.queue.enqueue(function, kwargs=kwargs, job_timeout=-1)
    shared_bench.ring()
    outcome = shared_bench.outcome(job)
    assert outcome.status is not None
    shared_bench.wait_for_state(job, "failed")


@pytest.mark.parametrize("job_id", [b"\xff\xfe", b"", b"../x", b"a b:c", b"no-hash"])
def test_what_is_no_job_in_the_queue_is_thrown_away(shared_bench: Bench, shared_bundle: Bundle, job_id: bytes) -> None:
    shared_bench.redis.set("rq:job:no-hash", "not even a hash")
    shared_bench.redis.lpush(shared_bench.queue.key, job_id, job_id)
    job = shared_bench.enqueue(shared_bundle.model.digest, count=1)
    assert_complete(shared_bench.outcome(job), 1)
    eventually(lambda: not shared_bench.redis.exists(shared_bench.queue.intermediate_queue_key))


def test_a_stream_that_is_none_fails_its_job_alone(shared_bench: Bench, shared_bundle: Bundle) -> None:
    running = shared_bench.enqueue(shared_bundle.model.digest, count=4000)
    eventually(lambda: shared_bench.published(running) > 0)
    shared_bench.redis.delete(stream_key(running.id))
    shared_bench.redis.set(stream_key(running.id), "occupied")
    shared_bench.wait_for_state(running, "failed")
    requeued = shared_bench.enqueue(shared_bundle.model.digest, count=1)
    assert_complete(shared_bench.outcome(requeued), 1)


def test_a_callback_named_in_redis_is_not_run(shared_bench: Bench) -> None:
    queue = shared_bench.queue
    job = queue.enqueue(DRAW, job_timeout=-1, on_failure=Callback("os.abort"))
    shared_bench.ring()
    shared_bench.wait_for_state(job, "failed")
    assert shared_bench.outcome(job).status is not None


def test_a_worker_says_what_it_serves(shared_bench: Bench, shared_bundle: Bundle) -> None:
    (name,) = shared_bench.worker_names()
    text = shared_bench.redis.get(worker_key(name))
    assert text is not None
    status = WorkerStatus.from_json(text)
    assert status.models == {"tiny@1": shared_bundle.model.digest}
    assert status.provider == "CPUExecutionProvider"
    assert time.time() - status.beat_at < 10
    assert shared_bench.redis.hexists(MODELS_KEY, shared_bundle.model.digest)
    job = shared_bench.enqueue(shared_bundle.model.digest, count=2000)
    shared_bench.outcome(job)
    eventually(lambda: current_rate(shared_bench, name) > 10)


def test_a_worker_describes_its_models_again_where_redis_has_lost_them(
    shared_bench: Bench, shared_bundle: Bundle
) -> None:
    shared_bench.redis.delete(MODELS_KEY)
    eventually(lambda: shared_bench.redis.hexists(MODELS_KEY, shared_bundle.model.digest), 4)


def test_registries_do_not_grow_for_ever(shared_bench: Bench, shared_bundle: Bundle) -> None:
    queue, redis = shared_bench.queue, shared_bench.redis
    old = time.time() - 10_000
    for registry in (queue.finished_job_registry, queue.failed_job_registry, queue.canceled_job_registry):
        redis.zadd(registry.key, {"expired": old})
    job = shared_bench.enqueue(shared_bundle.model.digest)
    shared_bench.wait_for_state(job, "finished")
    Sweeper(redis, lease_s=5, max_crashes=1, result_ttl_s=600).clean()
    for registry in (queue.finished_job_registry, queue.failed_job_registry, queue.canceled_job_registry):
        assert redis.zscore(registry.key, "expired") is None
    assert redis.zscore(queue.finished_job_registry.key, job.id) is not None


class Bomb:
    """Creates a file where it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self._proof,))


def close_stream(bench: Bench, job: Job) -> None:
    """What the service does when a caller has gone."""
    bench.redis.xadd(stream_key(job.id), {STATUS: CANCELLED.SerializeToString()}, id=END_ID)


def current_rate(bench: Bench, name: str) -> float:
    """Images per second, as the worker announces."""
    text = bench.redis.get(worker_key(name))
    return WorkerStatus.from_json(text).images_per_second if text else 0.0
