"""The log as programs read it: a line for every call, and what each line is about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import grpc
import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.service.calls import Responses
from tests.support.processes import Program, eventually
from tests.support.tiny_model import write_tiny_bundle
from unikat.v1.studio_pb2 import GenerateRequest
from unikat.v1.studio_pb2_grpc import StudioStub

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CONTEXT: Final = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_bundle(folder)
    write_tiny_bundle(folder, "slow", work=8000)  # about 16 ms an image
    return folder


@pytest.fixture(scope="module")
def stack(models: Path) -> Iterator[Stack]:
    with running_stack(models, UNIKAT_LOG_FORMAT="json", UNIKAT_MAX_COUNT="500") as stack:
        yield stack


def said(program: Program) -> list[dict[str, Any]]:
    """What a program logged: everything that it wrote but the one line on standard output."""
    return [json.loads(line) for line in program.lines if " ready: " not in line]


def calls(program: Program, **fields: object) -> list[dict[str, Any]]:
    """The lines of calls that have ended, with these fields."""
    found = [line for line in said(program) if line["logger"] == "unikat.calls"]
    return [line for line in found if fields.items() <= line.items()]


def service_of(stack: Stack) -> Program:
    assert stack.service is not None
    return stack.service


def test_a_call_has_one_line_with_its_whole_life(stack: Stack) -> None:
    with grpc.insecure_channel(stack.target) as channel:
        request = GenerateRequest(model="tiny", count=3, seed=5)
        first, *rest = StudioStub(channel).Generate(request, timeout=30, metadata=(("traceparent", CONTEXT),))
    job = first.accepted.job_id
    [line] = eventually(lambda: calls(service_of(stack), job=job))
    about = {"method": "Generate", "caller": "default", "model": "tiny@1", "trace_id": TRACE, "code": "OK"}
    assert about.items() <= line.items()
    assert (line["level"], line["images"], line["refused"]) == ("INFO", 3, 0)
    assert line["bytes"] == sum(response.ByteSize() for response in rest)
    timings = rest[0].artwork.timings
    for stage in ("queued", "batched", "drawn", "encoded"):
        assert line[stage] == pytest.approx(getattr(timings, stage).ToNanoseconds() / 1e9, abs=2e-6)
    assert 0 < line["first"] <= line["seconds"] < 30
    assert 0 < line["sending"] < line["seconds"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(line["time"])) < timedelta(minutes=10)


def test_a_call_that_fails_has_one_line_that_says_how(stack: Stack) -> None:
    with grpc.insecure_channel(stack.target) as channel:
        with pytest.raises(grpc.RpcError):
            StudioStub(channel).Draw(GenerateRequest(model="nobody\nlevel=ERROR"))
        with pytest.raises(grpc.RpcError):
            list(StudioStub(channel).Generate(GenerateRequest(model="tiny", count=501)))
    [unknown] = eventually(lambda: calls(service_of(stack), method="Draw"))
    assert (unknown["code"], unknown["reason"]) == ("INVALID_ARGUMENT", "BAD_FIELD")
    assert "model" not in unknown  # a caller's text is no label, and no field
    [large] = eventually(lambda: calls(service_of(stack), code="INVALID_ARGUMENT", method="Generate"))
    assert "job" not in large


def test_every_line_of_every_program_is_an_object_with_a_time_and_a_level(stack: Stack) -> None:
    for program in (service_of(stack), *stack.workers):
        lines = said(program)
        assert lines
        for line in lines:
            assert {"time", "level", "logger", "message"} <= line.keys()
            assert datetime.fromisoformat(line["time"]).tzinfo is not None


def test_a_worker_that_takes_over_says_of_which_job(stack: Stack) -> None:
    with grpc.insecure_channel(stack.target) as channel:
        request = GenerateRequest(model="slow", count=500, seed=1)
        responses = cast(Responses, StudioStub(channel).Generate(request, timeout=60))
        job = next(responses).accepted.job_id
        next(responses)
        other = stack.start_worker()
        other.wait_for_line("worker ready")
        stack.kill(stack.workers[0])
        found = eventually(lambda: [line for line in said(other) if line.get("job") == job])
        responses.cancel()
    assert found[0]["level"] == "WARNING"
    assert "is gone; goes on at image" in found[0]["message"]


def test_the_text_log_has_the_same_line(models: Path) -> None:
    with running_stack(models) as stack:
        with grpc.insecure_channel(stack.target) as channel:
            artwork = StudioStub(channel).Draw(GenerateRequest(model="tiny", seed=5))
        job = artwork.accepted.job_id
        found = service_of(stack).wait_for_line(f"call method=Draw .*job={job} .*")[0]
    fields = dict(re.findall(r"(\w+)=(\S+)", found))
    assert {"caller": "default", "model": "tiny@1", "images": "1", "code": "OK"}.items() <= fields.items()
    assert "sending" not in fields, "gRPC sends the answer after the end of the method"
