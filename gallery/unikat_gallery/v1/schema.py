"""JSON Schemas of the contract's messages, in protobuf's JSON form, from their descriptors."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from json import loads
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_WELL_KNOWN: Final[dict[str, dict[str, Any]]] = {
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
_NUMBER: Final = {"type": ["number", "string"]}  # "NaN" and "Infinity" are texts
_TYPES: Final[dict[int, dict[str, Any]]] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_FLOAT: _NUMBER,
    FieldDescriptor.TYPE_DOUBLE: _NUMBER,
    FieldDescriptor.TYPE_INT32: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.TYPE_INT64: {"type": ["string", "integer"], "pattern": "^-?[0-9]{1,19}$"},
    FieldDescriptor.TYPE_UINT64: {"type": ["string", "integer"], "pattern": "^[0-9]{1,20}$", "minimum": 0},
}


def schemas_of(roots: Iterable[type[Message]]) -> dict[str, Any]:
    """The schemas of messages and of all that they hold, by name."""
    found: dict[str, Any] = {}
    for root in roots:
        _add(descriptor_of(root), found)
    return dict(sorted(found.items()))


def reference(kind: type[Message]) -> dict[str, Any]:
    """Where a message's schema is."""
    return _reference(descriptor_of(kind))


def descriptor_of(kind: type[Message]) -> Descriptor:
    """Of a message; the stubs have two classes for it."""
    return cast(Descriptor, kind.DESCRIPTOR)


@cache
def comments() -> dict[str, str]:
    """What the contract says of its messages, fields and values, by full name."""
    found: dict[str, str] = loads(files("unikat_gallery.v1").joinpath("comments.json").read_text(encoding="utf-8"))
    return found


def _reference(message: Descriptor) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{message.name}"}


def _add(message: Descriptor, found: dict[str, Any]) -> None:
    if message.name in found or message.full_name in _WELL_KNOWN:
        return
    fields: dict[str, Any] = {}
    found[message.name] = {
        "type": "object",
        "description": comments().get(message.full_name, ""),
        "properties": fields,
        "additionalProperties": False,
    }
    for field in message.fields:
        fields[field.json_name] = _of_field(field, found) | {"description": comments().get(field.full_name, "")}


def _of_field(field: FieldDescriptor, found: dict[str, Any]) -> dict[str, Any]:
    held = field.message_type
    if held is not None and held.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _of_value(held.fields_by_name["value"], found)}
    one = _of_value(field, found)
    return {"type": "array", "items": one} if field.is_repeated else one


def _of_value(field: FieldDescriptor, found: dict[str, Any]) -> dict[str, Any]:
    if field.message_type is not None:
        _add(field.message_type, found)
        return dict(_WELL_KNOWN.get(field.message_type.full_name) or _reference(field.message_type))
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    return dict(_TYPES[field.type])
