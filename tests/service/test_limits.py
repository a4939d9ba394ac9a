"""Every field of every message that a caller can send has a limit, and what is beyond it is refused by name.

The fields are taken from the descriptors, so that one that is added without a limit fails here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.service.calls import code_of, fields_of
from tests.service.conftest import Serving, serving_on
from tests.support.valkey import running_valkey
from unikat.inference import open_inference_pb2
from unikat.v1 import batches_pb2, operations_pb2, studio_pb2
from unikat.v1.batches_pb2 import CreateBatchRequest, Plan
from unikat.v1.studio_pb2 import Condition, GenerateRequest
from unikat_service.limits import CHARACTERS, ENTRIES, MAX_PLANS_BYTES, MAX_RECEIVED_BYTES, limit_problems, max_bytes

ANY: Final = "every value of its type is allowed"
# Numbers: a value that is beyond, and what the refusal says.
BEYOND: Final[dict[str, tuple[Any, str] | str]] = {
    "unikat.v1.ListModelsRequest.page_size": (-1, "at least 0"),  # more than 1000 is taken as 1000
    "unikat.v1.ListChangesRequest.page_size": (-1, "at least 0"),
    "unikat.v1.GenerateRequest.count": (4097, "1 to 4096"),
    "unikat.v1.GenerateRequest.seed": ANY,
    "unikat.v1.GenerateRequest.truncation": (2.5, "0 to 2"),
    "unikat.v1.GenerateRequest.format": (4, "IMAGE_FORMAT_JPEG"),
    "unikat.v1.GenerateRequest.after_index": (2, "0 to 1"),
    "unikat.v1.GenerateRequest.credentials": (4, "CREDENTIALS_EMBEDDED"),
    "unikat.v1.CreateBatchRequest.credentials": (4, "CREDENTIALS_SIDECAR"),
    "unikat.v1.GenerateRequest.originality": (4, "ORIGINALITY_MODE_ENFORCE"),
    "unikat.v1.GenerateRequest.attempt": (9, "0 to 8"),
    "unikat.v1.GenerateRequest.first_index": (2**32 - 1, "4294967294"),
    "unikat.v1.WeightedPoint.weight": (2e6, "1000000"),
    "unikat.v1.Point.seed": ANY,
    "unikat.v1.Point.index": ANY,
    "unikat.v1.Shift.strength": (101.0, "-100 to 100"),
    "unikat.v1.Mutation.radius": (1.5, "0 (the parent) to 1"),
    "unikat.v1.Mutation.seed": ANY,
    "unikat.v1.Walk.frames": (1_000_001, "2 to 1000000"),
    "unikat.v1.Walk.loop": ANY,
    "unikat.v1.Walk.easing": (3, "EASING_SMOOTH"),
    "unikat.v1.Blend.WeightsEntry.value": (float("inf"), "finite"),
    "unikat.v1.CreateBatchRequest.seed": ANY,
    "unikat.v1.CreateBatchRequest.truncation": (2.5, "0 to 2"),
    "unikat.v1.CreateBatchRequest.format": (4, "IMAGE_FORMAT_JPEG"),
    "unikat.v1.CreateBatchRequest.originality": (4, "ORIGINALITY_MODE_ENFORCE"),
    "unikat.v1.CreateBatchRequest.layout": (3, "LAYOUT_WEBDATASET"),
    "unikat.v1.CreateBatchRequest.shard_size": (4097, "0 to 4096"),
    "unikat.v1.Plan.count": (50_001, "a batch may have 50000"),
    "unikat.v1.Grid.count": (50_001, "a batch may have 50000"),
    "unikat.v1.ListBatchesRequest.page_size": (-1, "at least 0"),  # more than 1000 is taken as 1000
    "unikat.v1.WatchBatchRequest.after_revision": ANY,
    "inference.InferParameter.bool_param": (True, "no such parameter"),
    "inference.InferParameter.int64_param": (1, "no such parameter"),
    "inference.InferParameter.double_param": (1.0, "no such parameter"),
    "inference.InferParameter.uint64_param": (1, "no such parameter"),
    "inference.RepositoryIndexRequest.ready": ANY,
}


@dataclass(frozen=True)
class Place:
    """A field of a request, and the fields that lead to it from the method's message."""

    method: MethodDescriptor
    path: tuple[FieldDescriptor, ...]

    @property
    def field(self) -> FieldDescriptor:
        return self.path[-1]

    def __str__(self) -> str:
        return f"{self.method.name}: {'.'.join(field.name for field in self.path)}"


def methods() -> Iterator[MethodDescriptor]:
    for file in (
        studio_pb2.DESCRIPTOR,
        batches_pb2.DESCRIPTOR,
        operations_pb2.DESCRIPTOR,
        open_inference_pb2.DESCRIPTOR,
    ):
        for service in file.services_by_name.values():
            yield from service.methods


def places(method: MethodDescriptor) -> Iterator[Place]:
    def walk(message: Descriptor, before: tuple[FieldDescriptor, ...]) -> Iterator[Place]:
        for field in message.fields:
            yield Place(method, (*before, field))
            if field.message_type is not None:
                yield from walk(field.message_type, (*before, field))

    yield from walk(method.input_type, ())


PLACES: Final = [place for method in methods() for place in places(method)]


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def is_entry(field: FieldDescriptor) -> bool:
    """Whether it is the key or the value of a map."""
    return field.containing_type is not None and bool(field.containing_type.GetOptions().map_entry)


def holds_messages(field: FieldDescriptor) -> bool:
    """Whether the values of a map are messages."""
    assert field.message_type is not None
    return field.message_type.fields_by_name["value"].message_type is not None


def right(method: MethodDescriptor) -> Message:
    """A request in which nothing is wrong, or too little to matter."""
    fields: dict[str, dict[str, Any]] = {
        "Generate": {"model": "tiny", "count": 2, "request_id": "r"},
        "Draw": {"model": "tiny", "count": 1},
        "EstimateWork": {"model": "tiny", "count": 2, "request_id": "r"},
        "CreateBatch": {"model": "tiny", "destination": "/out/a"},
        "EstimateBatch": {"model": "tiny", "destination": "/out/a"},
        "GetModel": {"name": "tiny"},
        "ModelReady": {"name": "tiny"},
        "ModelMetadata": {"name": "tiny"},
        "ModelConfig": {"name": "tiny"},
        "ModelInfer": {"model_name": "tiny"},
    }
    return GetMessageClass(method.input_type)(**fields.get(method.name, {"id": "0" * 16} if _has_id(method) else {}))


def _has_id(method: MethodDescriptor) -> bool:
    return "id" in method.input_type.fields_by_name


def with_value(place: Place, value: Any) -> Message:  # noqa: ANN401  # of the field's type
    """The method's request with a value in this place; a list or a map gets so many entries."""
    request = right(place.method)
    message: Any = request
    for i, field in enumerate(place.path[:-1]):
        if is_map(field) and (held := getattr(message, field.name)) is not None and holds_messages(field):
            message = held[value if place.path[i + 1].name == "key" else "ink"]
            continue
        if field.name == "value" and is_entry(field):  # of the map before it
            continue
        if is_map(field):
            entry = {"key": "ink", "value": 1.0 if field.name == "weights" else "x", place.path[i + 1].name: value}
            getattr(message, field.name)[entry["key"]] = entry["value"]
            return request
        inner = getattr(message, field.name)
        message = inner.add() if field.is_repeated else inner
        fill(field, message)
    if not is_entry(place.field):
        fill_list(message, place.field, value)
    return request


def fill(field: FieldDescriptor, message: Any) -> None:  # noqa: ANN401  # a message
    """What a nested message needs for nothing else to be wrong."""
    if field.name == "grid":
        message.axes.add(attribute="subject")
    if field.name in ("plans", "grid"):
        message.count = 1
    if field.name in ("conditions", "axes"):
        message.attribute = "style"
    if field.name in ("recipe", "keyframes"):
        message.points.add(weight=1.0).point.index = 0
    if field.name == "points":
        message.point.index = 1
    if field.name in ("inputs", "outputs"):
        message.name = "seed" if field.name == "inputs" else "image"
    if field.name == "walk":
        message.frames = 2
        for index in range(2):
            message.keyframes.add().points.add(weight=1.0).point.index = index


def fill_list(message: Any, field: FieldDescriptor, value: Any) -> None:  # noqa: ANN401  # a message, a value
    holder: Any = getattr(message, field.name)
    if not field.is_repeated:
        setattr(message, field.name, value)
    elif is_map(field):
        for i in range(value):
            if holds_messages(field):
                assert holder[str(i)] is not None  # looking for one makes it
                continue
            holder[str(i)] = 1.0 if field.name == "weights" else "x"
    elif isinstance(value, str):
        holder.append(value.encode() if field.type == FieldDescriptor.TYPE_BYTES else value)
    else:
        holder.extend(next(iter(values_for(field))) for _ in range(value))


def values_for(field: FieldDescriptor) -> Iterator[Any]:
    """An entry of a list."""
    if field.message_type is not None:
        yield GetMessageClass(field.message_type)(**({"count": 1} if field.name == "plans" else {}))
    else:
        kinds = {FieldDescriptor.TYPE_STRING: "x", FieldDescriptor.TYPE_BYTES: b"x", FieldDescriptor.TYPE_BOOL: True}
        yield kinds.get(field.type, 1)


@pytest.fixture(scope="module")
def shop() -> Iterator[Serving]:
    settings = {"UNIKAT_DESTINATIONS": "/out", "UNIKAT_MAX_BATCH_IMAGES": "50000"}
    with running_valkey() as valkey, serving_on(valkey, **settings) as serving:
        yield serving
        assert "Traceback" not in serving.program.output


def send(shop: Serving, method: MethodDescriptor, request: Message) -> dict[str, str]:
    return fields_of(_call(shop, method), request, 10)


def _call(shop: Serving, method: MethodDescriptor) -> Any:  # noqa: ANN401  # of any method
    make = shop.channel.unary_stream if method.server_streaming else shop.channel.unary_unary
    path = f"/{method.containing_service.full_name}/{method.name}"
    return make(path, lambda message: message.SerializeToString(), GetMessageClass(method.output_type).FromString)


def test_every_field_has_a_limit() -> None:
    for place in PLACES:
        field = place.field
        if field.is_repeated:
            assert field.full_name in ENTRIES, f"{place} has no limit of entries"
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            assert field.full_name in CHARACTERS, f"{place} has no limit of characters"
        elif field.message_type is None and not field.is_repeated:
            assert field.full_name in BEYOND, f"{place}: say here which value is beyond its limit"
    named = {place.field.full_name for place in PLACES}
    assert named >= CHARACTERS.keys() | ENTRIES.keys() | BEYOND.keys(), "there is no such field"
    assert len(PLACES) > 60  # or the walk finds nothing


# Draw takes one image, of any index, and nothing to go on after (test_draw.py).
OTHERWISE: Final = {f"unikat.v1.GenerateRequest.{name}" for name in ("count", "first_index", "after_index")}


def cases() -> Iterator[Any]:
    for place in PLACES:
        name = place.field.full_name
        if place.method.name == "Draw" and name in OTHERWISE:
            continue
        if name in ENTRIES:
            yield pytest.param(place, ENTRIES[name] + 1, f"at most {ENTRIES[name]}", id=f"{place} entries")
        if name in CHARACTERS:
            yield pytest.param(place, "x" * (CHARACTERS[name] + 1), f"at most {CHARACTERS[name]}", id=f"{place} text")
        if name in BEYOND and BEYOND[name] != ANY:
            yield pytest.param(place, *BEYOND[name], id=f"{place} value")


@pytest.mark.parametrize(("place", "value", "says"), list(cases()))
def test_what_is_beyond_a_limit_is_refused_by_name_and_leaves_nothing(
    shop: Serving, place: Place, value: str | float, says: str
) -> None:
    before = set(shop.redis.keys("rq:*")) | set(shop.redis.keys("unikat:batch*"))
    found = send(shop, place.method, with_value(place, value))
    of_field = [text for name, text in found.items() if place.path[0].name in name]
    assert any(says in text for text in of_field), found
    assert set(shop.redis.keys("rq:*")) | set(shop.redis.keys("unikat:batch*")) == before


@pytest.mark.parametrize("place", [p for p in PLACES if p.field.full_name in CHARACTERS], ids=str)
def test_a_text_at_its_limit_is_not_too_long(shop: Serving, place: Place) -> None:
    text = "x" * CHARACTERS[place.field.full_name]
    method = _call(shop, place.method)
    try:
        found = method(with_value(place, text), timeout=2)
        if place.method.server_streaming:
            next(found)
            found.cancel()
        said = ""
    except grpc.RpcError as error:
        said = cast(grpc.Call, error).details() or ""
    assert "must be at most" not in said


@pytest.mark.parametrize("method", list(methods()), ids=lambda method: method.name)
def test_a_request_of_too_many_bytes_is_refused_with_their_limit(shop: Serving, method: MethodDescriptor) -> None:
    most = max_bytes(method.input_type.full_name)
    path = f"/{method.containing_service.full_name}/{method.name}"
    raw = shop.channel.unary_stream(path, bytes, bytes)
    assert f"at most {most} bytes" in fields_of(raw, b"\x0a" * (most + 1))["request"]
    # Beyond what the server receives gRPC itself refuses, with a status of its own.
    assert code_of(raw, bytes(MAX_RECEIVED_BYTES + 1)) == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_documented_number_of_plans_fits(shop: Serving) -> None:
    """10,000 plans of 3 MiB together are looked at one by one: what is wrong with them is the model's to say."""
    condition = Condition(attribute="style", category="x" * 255)
    request = CreateBatchRequest(model="tiny", destination="/out/a", plans=[Plan(count=1, conditions=[condition])])
    request.plans.extend(request.plans[0] for _ in range(9_999))
    assert 2.5 * 2**20 < request.ByteSize() <= MAX_PLANS_BYTES < MAX_RECEIVED_BYTES
    assert "unknown category" in fields_of(shop.batches.CreateBatch, request)["plans[0].conditions[0].category"]


def test_every_wrong_text_of_a_small_request_is_named() -> None:
    request = GenerateRequest(model="x" * 74, background="y" * 65, conditions=[Condition(attribute="z" * 64)])
    assert [problem.field for problem in limit_problems(request)] == ["model", "conditions[0].attribute", "background"]
