"""How large requests may be: every text, list and map of every message that a caller sends.

What is beyond is refused before anything else is looked at. Numbers are checked where they mean something: by the
service's settings and the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from unikat.batches.destination import MAX_LENGTH
from unikat.bundle import MAX_ATTRIBUTES, MAX_CATEGORIES, MAX_CATEGORY, MAX_LATENT, MAX_REFERENCE
from unikat.conditions import FieldError
from unikat.recipes.mix import MAX_POINTS
from unikat.recipes.sequence import MAX_KEYFRAMES

MAX_PROBLEMS: Final = 100  # more than anybody reads
# A batch is answered as one message with its plans, and many clients receive no more than 4 MiB.
MAX_PLANS_BYTES: Final = 3 * 2**20
# What the server receives at all. It is more than any request may have, so that the answer names our limit.
MAX_RECEIVED_BYTES: Final = 4 * 2**20

_DEFAULT_BYTES: Final = 16 * 2**10  # of a request that the table does not name
_BYTES: Final = {
    "unikat.v1.CreateBatchRequest": MAX_PLANS_BYTES,
    "unikat.v1.GenerateRequest": 2**20,
    "inference.ModelInferRequest": 2**20,
}

_ATTRIBUTE: Final = 63
_BLENDED: Final = 256
_DIRECTION: Final = 63
_ID: Final = 64
_OWNER: Final = 128
_TOKEN: Final = 1024
_REASON: Final = 500
_VERSION: Final = 10  # digits
_TENSOR: Final = "inference.ModelInferRequest.InferInputTensor"
_ASKED: Final = "inference.ModelInferRequest.InferRequestedOutputTensor"

# Characters of a text, bytes of a byte string (or of each of a list), by the field's full name.
CHARACTERS: Final = {
    "unikat.v1.GetModelRequest.name": MAX_REFERENCE,
    "unikat.v1.ListModelsRequest.page_token": _TOKEN,
    "unikat.v1.GenerateRequest.model": MAX_REFERENCE,
    "unikat.v1.GenerateRequest.request_id": 128,
    "unikat.v1.GenerateRequest.background": 64,
    "unikat.v1.Shift.direction": _DIRECTION,
    "unikat.v1.Condition.attribute": _ATTRIBUTE,
    "unikat.v1.Condition.category": MAX_CATEGORY,
    "unikat.v1.Blend.WeightsEntry.key": MAX_CATEGORY,
    "unikat.v1.CreateBatchRequest.model": MAX_REFERENCE,
    "unikat.v1.CreateBatchRequest.destination": MAX_LENGTH,
    "unikat.v1.CreateBatchRequest.owner": _OWNER,
    "unikat.v1.CreateBatchRequest.LabelsEntry.key": 63,
    "unikat.v1.CreateBatchRequest.LabelsEntry.value": 255,
    "unikat.v1.CreateBatchRequest.request_id": 128,
    "unikat.v1.CreateBatchRequest.background": 64,
    "unikat.v1.CreateBatchRequest.encryption_key": 32,
    "unikat.v1.Axis.attribute": _ATTRIBUTE,
    "unikat.v1.Axis.categories": MAX_CATEGORY,
    "unikat.v1.GetBatchRequest.id": _ID,
    "unikat.v1.ListBatchesRequest.page_token": _TOKEN,
    "unikat.v1.ListBatchesRequest.owner": _OWNER,
    "unikat.v1.CancelBatchRequest.id": _ID,
    "unikat.v1.RetryBatchRequest.id": _ID,
    "unikat.v1.DeleteBatchRequest.id": _ID,
    "unikat.v1.WatchBatchRequest.id": _ID,
    **{
        f"unikat.v1.{method}ModelRequest.{field}": most
        for method in ("Load", "Unload", "Pin")
        for field, most in (("model", MAX_REFERENCE), ("reason", _REASON))
    },
    "unikat.v1.UnpinModelRequest.name": MAX_REFERENCE,
    "unikat.v1.UnpinModelRequest.reason": _REASON,
    "unikat.v1.DrainWorkerRequest.worker": 256,
    "unikat.v1.DrainWorkerRequest.reason": _REASON,
    "unikat.v1.ListChangesRequest.page_token": _TOKEN,
    "inference.ModelReadyRequest.name": MAX_REFERENCE,
    "inference.ModelReadyRequest.version": _VERSION,
    "inference.ModelMetadataRequest.name": MAX_REFERENCE,
    "inference.ModelMetadataRequest.version": _VERSION,
    "inference.ModelConfigRequest.name": MAX_REFERENCE,
    "inference.ModelConfigRequest.version": _VERSION,
    "inference.RepositoryIndexRequest.repository_name": _ID,
    "inference.ModelInferRequest.model_name": MAX_REFERENCE,
    "inference.ModelInferRequest.model_version": _VERSION,
    "inference.ModelInferRequest.id": 128,
    "inference.ModelInferRequest.ParametersEntry.key": 63,
    "inference.ModelInferRequest.raw_input_contents": 2**19,
    f"{_TENSOR}.name": 63,
    f"{_TENSOR}.datatype": 16,
    f"{_TENSOR}.ParametersEntry.key": 63,
    f"{_ASKED}.name": 63,
    f"{_ASKED}.ParametersEntry.key": 63,
    "inference.InferParameter.string_param": 128,
    "inference.InferTensorContents.bytes_contents": 2**19,
}
# Entries of a list or a map.
ENTRIES: Final = {
    "unikat.v1.GenerateRequest.conditions": MAX_ATTRIBUTES,
    "unikat.v1.Recipe.points": MAX_POINTS,
    "unikat.v1.Recipe.shifts": MAX_POINTS,
    "unikat.v1.Vector.values": MAX_LATENT,
    "unikat.v1.Walk.keyframes": MAX_KEYFRAMES,
    "unikat.v1.Blend.weights": _BLENDED,
    "unikat.v1.CreateBatchRequest.plans": 10_000,
    "unikat.v1.CreateBatchRequest.labels": 64,
    "unikat.v1.Plan.conditions": MAX_ATTRIBUTES,
    "unikat.v1.Grid.axes": MAX_ATTRIBUTES,
    "unikat.v1.Grid.conditions": MAX_ATTRIBUTES,
    "unikat.v1.Axis.categories": MAX_CATEGORIES,
    "unikat.v1.ListBatchesRequest.states": 16,
    "inference.ModelInferRequest.parameters": 16,
    "inference.ModelInferRequest.inputs": 16,
    "inference.ModelInferRequest.outputs": 16,
    "inference.ModelInferRequest.raw_input_contents": 16,
    f"{_TENSOR}.shape": 8,
    f"{_TENSOR}.parameters": 16,
    f"{_ASKED}.parameters": 16,
    **dict.fromkeys(
        (
            f"inference.InferTensorContents.{kind}_contents"
            for kind in ("bool", "int", "int64", "uint", "uint64", "fp32", "fp64", "bytes")
        ),
        64,
    ),
}


def max_bytes(name: str) -> int:
    """Bytes that a request may have; `name` is the message's full name."""
    return _BYTES.get(name, _DEFAULT_BYTES)


def size_problem(name: str, size: int) -> FieldError | None:
    """What is wrong with the bytes of a request, before they are parsed."""
    most = max_bytes(name)
    return FieldError("request", f"must be at most {most} bytes, not {size}") if size > most else None


def limit_problems(message: Message) -> list[FieldError]:
    """The texts, lists and maps of a message that are beyond their limits, at most MAX_PROBLEMS."""
    return list(islice(_problems(message, _checks(message.DESCRIPTOR), ""), MAX_PROBLEMS))


class _Check(NamedTuple):
    """What is checked of a field; `key` and `value` are those of a map, `value` alone of a list or a message."""

    name: str
    characters: int | None  # of a text
    entries: int | None  # of a list or a map
    key: _Check | None
    value: _Check | None
    fields: Descriptor | None  # of a message


@cache
def _checks(message: Descriptor) -> tuple[_Check, ...]:
    """Of all fields but numbers; made once, because every call is checked."""
    return tuple(check for field in message.fields if (check := _check(field)) is not None)


def _check(field: FieldDescriptor) -> _Check | None:
    name, held = field.name, field.message_type
    text = CHARACTERS[field.full_name] if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else None
    value = _Check(name, text, None, None, None, held) if text is not None or held is not None else None
    if not field.is_repeated:
        return value
    if held is not None and held.GetOptions().map_entry:
        key, value = (_check(held.fields_by_name[part]) for part in ("key", "value"))
        return _Check(name, None, ENTRIES[field.full_name], key, value, None)
    return _Check(name, None, ENTRIES[field.full_name], None, value, None)


def _problems(message: Any, checks: tuple[_Check, ...], prefix: str) -> Iterator[FieldError]:  # noqa: ANN401  # a message
    for check in checks:
        if check.fields is None or message.HasField(check.name):
            yield from _value_problems(getattr(message, check.name), check, prefix + check.name)


def _value_problems(value: Any, check: _Check, path: str) -> Iterator[FieldError]:  # noqa: ANN401  # a field's value
    if check.characters is not None:
        if len(value) > check.characters:
            unit = "bytes" if isinstance(value, bytes) else "characters"
            yield FieldError(path, f"must be at most {check.characters} {unit}, not {len(value)}")
    elif check.fields is not None:
        yield from _problems(value, _checks(check.fields), path + ".")
    elif check.entries is not None and len(value) > check.entries:
        way_out = ": split it into several batches" if check.name == "plans" else ""
        yield FieldError(path, f"must be at most {check.entries}, not {len(value)}{way_out}")
    elif check.key is not None:
        yield from _map_problems(value, check, path)
    elif check.value is not None:
        for i, entry in enumerate(value):
            yield from _value_problems(entry, check.value, f"{path}[{i}]")


def _map_problems(values: Mapping[str, Any], check: _Check, path: str) -> Iterator[FieldError]:
    for name in sorted(values):
        assert check.key is not None
        yield from _value_problems(name, check.key, f"{path}[{name}]")
        if check.value is not None:
            yield from _value_problems(values[name], check.value, f"{path}[{name}]")
