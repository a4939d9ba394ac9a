"""One call, followed through command line, service and worker by the spans that each of them sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider

from tests.end_to_end.stack import Stack, running_stack
from tests.provenance.registering import Owner, registering
from tests.service.calls import Responses
from tests.support.processes import Program, eventually
from tests.support.spans import Collector, Kept, collecting
from tests.support.tiny_model import write_tiny_bundle
from unikat.client import Studio
from unikat.v1.batches_pb2 import CreateBatchRequest, Plan
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.provenance_pb2_grpc import ProvenanceStub
from unikat.v1.studio_pb2 import GenerateRequest
from unikat.v1.studio_pb2_grpc import StudioStub

GENERATE, DRAW = "unikat.v1.Studio/Generate", "unikat.v1.Studio/Draw"
CREATE: Final = "unikat.v1.Batches/CreateBatch"
CLAIM: Final = "unikat.v1.Provenance/ClaimArtwork"
CALLER: Final = "00f067aa0ba902b7"  # the caller's span


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_bundle(folder)
    write_tiny_bundle(folder, "slow", work=800)  # about 2 ms an image
    open_to = {"UNIKAT_DESTINATIONS": f"file://{tmp_path_factory.getbasetemp()}"}
    with running_stack(folder, 1, **open_to, **collector.environment) as stack:
        yield stack


@pytest.fixture(scope="module")
def studio(stack: Stack) -> Iterator[StudioStub]:
    with grpc.insecure_channel(stack.target) as channel:
        yield StudioStub(channel)


def generate(studio: StudioStub, trace: str, request: GenerateRequest, flags: str = "01") -> Responses:
    metadata = (("traceparent", f"00-{trace}-{CALLER}-{flags}"),)
    return cast(Responses, studio.Generate(request, timeout=30, metadata=metadata))


def named(spans: list[Kept], name: str) -> list[Kept]:
    return [each for each in spans if each.span.name == name]


def whole(collector: Collector, trace: str, *last: str) -> list[Kept]:
    """The spans of a trace, once those that end last are there: the job's, and the call's."""
    eventually(lambda: {"job", *(last or (GENERATE,))} <= {each.span.name for each in collector.of(trace)})
    return collector.of(trace)


def test_a_trace_is_whole_from_the_command_to_the_worker_and_back(
    stack: Stack, collector: Collector, tmp_path: Path
) -> None:
    arguments = ("generate", "tiny", "-n", "3", "--out", str(tmp_path))
    with Program("unikat.cli", *arguments, env={"UNIKAT_TARGET": stack.target} | collector.environment) as command:
        assert command.wait() == 0, command.output
    [root] = eventually(lambda: named(collector.spans, "unikat generate"))
    spans = whole(collector, root.trace)
    below: dict[bytes, list[Kept]] = {}
    for each in spans:
        below.setdefault(each.span.parent_span_id, []).append(each)

    def tree(of: Kept) -> dict[str, object]:
        return {f"{each.program} {each.span.name}": tree(each) for each in below.get(of.span.span_id, ())}

    worker = "unikat-worker"
    batch: dict[str, object] = {f"{worker} draw": {}, f"{worker} encode": {}}
    job = {f"{worker} batch": batch, f"{worker} publish": {}}
    found = tree(root)
    assert (root.program, root.span.parent_span_id, root.span.kind) == ("unikat-client", b"", Span.SPAN_KIND_CLIENT)
    assert found.pop(f"unikat-service {GENERATE}") == {f"{worker} wait": {}, f"{worker} job": job}
    assert all(calls == {} for calls in found.values())  # what else the command asked the service
    [call], [drawn] = named(spans, GENERATE), named(spans, "job")
    said = {"rpc.grpc.status_code": 0, "unikat.model": "tiny@1", "unikat.images": 3, "unikat.code": "OK"}
    assert said.items() <= call.said.items()
    assert call.said["unikat.job"] == drawn.said["unikat.job"]
    assert drawn.said["unikat.ending"] == "finished"
    assert sum(cast(int, each.said["unikat.images"]) for each in named(spans, "batch")) == 3
    for each in spans:
        assert root.span.start_time_unix_nano <= each.span.start_time_unix_nano <= each.span.end_time_unix_nano
        assert each.span.end_time_unix_nano <= root.span.end_time_unix_nano or each.program == worker
        assert each.span.status.code == Status.STATUS_CODE_UNSET


def test_a_batch_has_links_to_the_other_jobs_in_it(studio: StudioStub, collector: Collector) -> None:
    traces = ["1" * 32, "2" * 32]
    streams = [generate(studio, trace, GenerateRequest(model="slow", count=100)) for trace in traces]
    assert [len(list(stream)) for stream in streams] == [102, 102]
    first, second = (whole(collector, trace) for trace in traces)
    [job] = named(second, "job")
    linked = [link for batch in named(first, "batch") for link in batch.span.links]
    assert {(link.trace_id.hex(), link.span_id) for link in linked} == {(traces[1], job.span.span_id)}
    assert sum(cast(int, each.said["unikat.images"]) for each in named(first, "batch")) == 100


def test_a_batch_of_shards_is_one_trace_from_its_call_to_its_manifest(
    stack: Stack, collector: Collector, tmp_path: Path
) -> None:
    trace = "8" * 32
    asked = CreateBatchRequest(
        model="tiny", plans=[Plan(count=50)], shard_size=20, destination=f"file://{tmp_path}/out"
    )
    with grpc.insecure_channel(stack.target) as channel:
        metadata = (("traceparent", f"00-{trace}-{CALLER}-01"),)
        batch = BatchesStub(channel).CreateBatch(asked, timeout=30, metadata=metadata)
    eventually(lambda: {CREATE, "close"} <= {each.span.name for each in collector.of(trace)})
    spans = collector.of(trace)
    [call], shards, [close] = named(spans, CREATE), named(spans, "shard"), named(spans, "close")
    assert {each.span.parent_span_id for each in (*shards, close)} == {call.span.span_id}
    assert sorted(cast(int, each.said["unikat.images"]) for each in shards) == [10, 20, 20]
    for shard in shards:
        within = [each for each in spans if each.span.parent_span_id == shard.span.span_id]
        drawn, written = named(within, "batch"), named(within, "write")
        assert sum(cast(int, each.said["unikat.images"]) for each in drawn) == shard.said["unikat.images"]
        assert [each.said["unikat.images"] for each in written] == [shard.said["unikat.images"]]
        assert {each.said["unikat.ending"] for each in (shard, close)} == {"finished"}
        assert {each.said["unikat.batch"] for each in (shard, close)} == {batch.id}
        assert written[0].span.end_time_unix_nano <= shard.span.end_time_unix_nano <= close.span.end_time_unix_nano


def test_calls_of_the_client_go_on_with_the_current_span_of_its_program(stack: Stack, collector: Collector) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("game")
    with Studio(stack.target) as studio, tracer.start_as_current_span("level") as own:
        studio.draw("tiny")
        list(studio.generate("tiny", count=2))
    of = own.get_span_context()
    eventually(lambda: {DRAW, GENERATE} <= {e.span.name for e in collector.of(f"{of.trace_id:032x}")})
    calls = [each for each in collector.of(f"{of.trace_id:032x}") if each.program == "unikat-service"]
    assert {each.span.parent_span_id.hex() for each in calls} == {f"{of.span_id:016x}"}


def test_what_the_registry_has_drawn_is_below_its_call(stack: Stack, collector: Collector, tmp_path: Path) -> None:
    trace = "7" * 32
    with registering(stack, tmp_path) as registry, grpc.insecure_channel(registry.target) as channel:
        metadata = (("traceparent", f"00-{trace}-{CALLER}-01"),)
        ProvenanceStub(channel).ClaimArtwork(Owner("anna").claim(7), timeout=30, metadata=metadata)
        spans = whole(collector, trace, CLAIM, DRAW)
    [claim], [call] = named(spans, CLAIM), named(spans, DRAW)
    assert (claim.program, claim.span.parent_span_id.hex()) == ("unikat-registry", CALLER)
    assert (call.program, call.span.parent_span_id) == ("unikat-service", claim.span.span_id)


def test_what_a_caller_does_not_sample_is_not_sent_and_its_id_is_passed_on(
    stack: Stack, studio: StudioStub, collector: Collector
) -> None:
    trace = "3" * 32
    first, *_ = generate(studio, trace, GenerateRequest(model="tiny", count=1), flags="00")
    extra = stack.redis.hget(f"rq:job:{first.accepted.job_id}", "unikat")
    assert f"00-{trace}-".encode() in (extra or b"")
    sampled = "4" * 32
    list(generate(studio, sampled, GenerateRequest(model="tiny", count=1)))
    whole(collector, sampled)  # what was made before is there, too
    assert collector.of(trace) == []


def test_a_call_that_is_refused_is_a_span_of_its_callers_fault(studio: StudioStub, collector: Collector) -> None:
    trace = "5" * 32
    with pytest.raises(grpc.RpcError):
        list(generate(studio, trace, GenerateRequest(model="nobody")))
    [span] = eventually(lambda: collector.of(trace))
    assert (span.said["unikat.code"], span.said["unikat.reason"]) == ("INVALID_ARGUMENT", "BAD_FIELD")
    assert span.span.status.code == Status.STATUS_CODE_UNSET
    assert span.span.parent_span_id.hex() == CALLER


@pytest.mark.parametrize("program", ["unikat_service", "unikat_worker", "unikat.cli"])
def test_an_exporter_that_is_not_there_is_said_at_the_start(stack: Stack, program: str) -> None:
    arguments = ("models",) if program == "unikat.cli" else ()
    with Program(program, *arguments, env=stack.env | {"OTEL_TRACES_EXPORTER": "jaeger"}) as started:
        assert started.wait() == 1
    assert "OTEL_TRACES_EXPORTER=jaeger: no such exporter is installed; there are console, none, otlp" in started.output


def test_a_collector_that_is_away_holds_up_nothing(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    away = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with running_stack(tmp_path, 1, **away) as stack:
        with grpc.insecure_channel(stack.target) as channel:
            found = list(generate(StudioStub(channel), "6" * 32, GenerateRequest(model="tiny", count=5)))
        assert len(found) == 7
        assert stack.service is not None
        assert [program.terminate(5) for program in (stack.service, *stack.workers)] == [0, 0]
