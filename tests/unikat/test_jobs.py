from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unikat.queue.job import DrawJob, fingerprint
from unikat.queue.keys import job_id_of
from unikat.queue.stream import END_ID, Progress
from unikat.queue.workers import WorkerStatus
from unikat.v1.studio_pb2 import CREDENTIALS_EMBEDDED, Blend, Condition, GenerateRequest

JOB = DrawJob("tiny@1", "sha256:0", {"style": {"ink": 0.25, "oil": 0.75}}, 3, 2**64 - 1, 0.5, 1, 10.0, None)


TERMS_OF_STATUS = {"terms", "indexed", "content_gate", "refused"}


def test_a_job_survives_json() -> None:
    assert DrawJob.from_kwargs(json.loads(json.dumps(JOB.to_kwargs()))) == JOB


@pytest.mark.parametrize("change", [{"count": None}, {"seed": "7"}, {"weights": []}, {"count": -1}])
def test_a_payload_that_is_no_draw_job_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a draw job"):
        DrawJob.from_kwargs(JOB.to_kwargs() | change)


def test_terms_survive_json_and_are_checked() -> None:
    job = replace(JOB, originality="enforce", attempt=8, deny={"style": ["oil"]})
    assert DrawJob.from_kwargs(job.to_kwargs(), job.extra) == job
    assert json.loads(JOB.extra) == {}
    for wrong in ({"originality": "strict"}, {"attempt": 9}, {"attempt": -1}, {"deny": ["oil"]}, {"deny": {"a": "b"}}):
        with pytest.raises(ValueError, match="not a draw job"):
            DrawJob.from_kwargs(JOB.to_kwargs(), json.dumps(wrong))


def test_a_fingerprint_is_of_the_content_alone() -> None:
    weights = {f"c{i}": float(i) for i in range(20)}
    request = GenerateRequest(model="tiny", count=3, request_id="a", after_index=1)
    request.conditions.append(Condition(attribute="style", blend=Blend(weights=weights)))
    again = GenerateRequest(model="tiny", count=3, request_id="b", credentials=CREDENTIALS_EMBEDDED)
    again.conditions.append(Condition(attribute="style", blend=Blend(weights=dict(reversed(weights.items())))))
    assert fingerprint(request) == fingerprint(again)
    again.seed = 0  # asked for, unlike left out
    assert fingerprint(request) != fingerprint(again)
    assert job_id_of("a") != job_id_of("b")


def test_a_worker_status_survives_json() -> None:
    status = WorkerStatus("w", {"tiny@1": "sha256:0"}, "cpu", "CPUExecutionProvider", "onnxruntime 1", 1.5, 0.5, 3.0)
    assert WorkerStatus.from_json(status.to_json()) == status
    later = replace(status, terms=["attempt"], indexed=["sha256:0"], content_gate="0.8", refused={"CONTENT": 3})
    assert WorkerStatus.from_json(later.to_json()) == later
    before = {name: value for name, value in vars(status).items() if name not in TERMS_OF_STATUS}
    assert WorkerStatus.from_json(json.dumps(before)) == status  # of a worker of the release before
    for wrong in ({"terms": "attempt"}, {"indexed": [1]}, {"refused": {"CONTENT": "3"}}, {"content_gate": 0.8}):
        with pytest.raises(ValueError, match="not a status"):
            WorkerStatus.from_json(json.dumps(vars(status) | wrong))


@given(st.integers(1, 10**6), st.data())
def test_progress_is_read_from_the_last_id_of_a_stream(count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    assert Progress.of(f"{index + 1}-0", count) == Progress(index + 1, False)
    assert Progress.of(f"{count + 1}-0".encode(), count) == Progress(count, True)
    assert Progress.of(END_ID, count) == Progress(count, True)
    assert Progress.of(None, count) == Progress(0, False)
