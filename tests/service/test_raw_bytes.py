"""Any bytes as a request of any method, over a real connection: refused as documented, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.conftest import Serving
from tests.support.inference import infer_request
from unikat.inference import open_inference_pb2
from unikat.v1 import batches_pb2, operations_pb2, studio_pb2
from unikat.v1.studio_pb2 import Condition, GenerateRequest

Call = Callable[[bytes], object]

METHODS: Final = [
    method
    for file in (studio_pb2, batches_pb2, operations_pb2, open_inference_pb2, health_pb2, reflection_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
# NOT_FOUND and OK: the bytes are a request, of a model, a batch or a service that is not there, or of a list.
ALLOWED: Final = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK}
NOT_SERVED: Final = {"grpc.health.v1.Health.List": {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED}}
UNREADABLE: Final = b"\x0a\xff\xff\xff\xff\x0f"  # a field that is longer than any message
EXAMPLES, EXAMPLES_LONG = 60, 2000  # of each method


def seeds(method: MethodDescriptor) -> list[bytes]:
    """Requests that are right but for naming nothing that there is."""
    conditions = [Condition(attribute="style", blend=studio_pb2.Blend(weights={"ink": 1, "oil": 2}))]
    batch: dict[str, Any] = {"model": "nowhere", "destination": "/out/a", "labels": {"a": "b"}, "request_id": "r"}
    plans = [batches_pb2.Plan(conditions=conditions, count=3)]
    found: dict[str, list[Message]] = {
        "GenerateRequest": [GenerateRequest(model="nowhere@1", count=2, seed=7, conditions=conditions, request_id="r")],
        "CreateBatchRequest": [
            batches_pb2.CreateBatchRequest(plans=plans, **batch),
            batches_pb2.CreateBatchRequest(grid=batches_pb2.Grid(count=2), **batch),
        ],
        "ModelInferRequest": [infer_request(raw, "nowhere") for raw in (False, True)],
        "ServerReflectionRequest": [reflection_pb2.ServerReflectionRequest(file_containing_symbol="unikat.v1.Studio")],
    }
    kind = method.input_type
    texts = [field.name for field in kind.fields if field.type == field.TYPE_STRING and not field.is_repeated]
    other = [GetMessageClass(kind)(**dict.fromkeys(texts, "0" * 16))]
    return [message.SerializeToString() for message in found.get(kind.name, other)]


def damaged(contents: list[bytes]) -> st.SearchStrategy[bytes]:
    """Some bytes of a request changed, left out, doubled or put in."""

    @st.composite
    def drawn(draw: st.DrawFn) -> bytes:
        content = draw(st.sampled_from(contents))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(content)))
            until = draw(st.integers(at, min(len(content), at + 16)))
            content = content[:at] + draw(st.binary(max_size=8) | st.just(content[at:until] * 2)) + content[until:]
        return content

    return drawn()


def caller(channel: grpc.Channel, method: MethodDescriptor) -> Call:
    """The method, of bytes. Of a stream the first answer is taken, and the call ended."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    if not method.server_streaming:
        return lambda content: channel.unary_unary(path, None, None)(content, timeout=20)

    def first(content: bytes) -> object:
        stream = (
            channel.stream_stream(path, None, None)
            if method.client_streaming
            else channel.unary_stream(path, None, None)
        )
        request: Iterator[bytes] | bytes = iter([content]) if method.client_streaming else content
        answers = cast(Any, stream)(request, timeout=20)
        answer = next(answers, None)
        answers.cancel()
        return answer

    return first


def stored(serving: Serving) -> dict[bytes, bytes | None]:
    """All that is in Redis but what every service keeps of itself: its inbox, and for a second what it tried."""
    own = (b"unikat:inbox:", b"unikat:probe:")
    keys = sorted(key for key in serving.redis.scan_iter() if not key.startswith(own))
    return {key: serving.redis.dump(key) for key in keys}


def outcome(call: Call, content: bytes) -> grpc.StatusCode:
    try:
        call(content)
    except grpc.RpcError as error:
        return cast(grpc.Call, error).code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_any_bytes_are_refused_as_documented(shared: Serving, method: MethodDescriptor, is_long: bool) -> None:
    call, before = caller(shared.channel, method), stored(shared)
    own, contents = method.full_name.startswith("unikat."), seeds(method)
    allowed = NOT_SERVED.get(method.full_name, ALLOWED)

    @settings(
        max_examples=EXAMPLES_LONG if is_long else EXAMPLES,
        deadline=None,
        derandomize=not is_long,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=200) | damaged(contents))
    def refused(content: bytes) -> None:
        code = outcome(call, content)
        assert code in allowed, f"{code} for {content!r}"
        if own and code == grpc.StatusCode.OK:
            assert method.name.startswith("List") or method.name == "GetControl"

    refused()
    assert outcome(call, UNREADABLE) == grpc.StatusCode.INVALID_ARGUMENT
    assert stored(shared) == before
    assert shared.program.process.poll() is None
