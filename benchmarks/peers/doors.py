"""How a server is asked for images: the transport, where, and the bytes of a request."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.work import REQUEST, conditions_of
from unikat.bundle import key_of, read_bundle
from unikat.v1.studio_pb2 import Condition, GenerateRequest

PNG: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Door:
    """One way into a server. `transport`: unary (gRPC), stream (gRPC) or http; `body`: a key of BODIES."""

    name: str
    transport: str
    path: str
    body: str


@dataclass(frozen=True)
class Order:
    """What the requests of one load ask for: a bundle, its number at the server, images a call."""

    bundle: str
    number: int
    count: int = 1


def request(door: Door, order: Order, seed: int) -> bytes:
    """The bytes of a request."""
    return BODIES[door.body](order, seed)


def images_in(answer: bytes) -> int:
    """PNG files in an answer."""
    return answer.count(PNG)


def png_in(answer: bytes) -> bytes:
    """The first PNG file in an answer. Raises ValueError where there is none."""
    start = answer.index(PNG)
    return answer[start : answer.index(b"IEND", start) + 8]


def _plain(order: Order, seed: int) -> bytes:
    return REQUEST.pack(order.number, seed)


def _json(order: Order, seed: int) -> bytes:
    return json.dumps({"model": order.number, "seed": seed}).encode()


def _triton(order: Order, seed: int) -> bytes:
    """`inference.ModelInferRequest` (KServe v2, grpc_service.proto): the model, one input of one UINT64, its bytes."""
    tensor = _field(1, b"SEED") + _field(2, b"UINT64") + _field(3, b"\x01")
    return _field(1, str(order.number).encode()) + _field(5, tensor) + _field(7, seed.to_bytes(8, "little"))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field of fewer than 128 bytes."""
    return bytes((number << 3 | 2, len(content))) + content


def _studio(order: Order, seed: int) -> bytes:
    key, attributes = _attributes(order.bundle)
    chosen = conditions_of(seed, [len(categories) for _, categories in attributes])
    conditions = [
        Condition(attribute=name, category=categories[category])
        for (name, categories), category in zip(attributes, chosen, strict=True)
    ]
    return GenerateRequest(
        model=key, count=order.count, seed=seed, truncation=1.0, conditions=conditions
    ).SerializeToString()


@cache
def _attributes(bundle: str) -> tuple[str, list[tuple[str, list[str]]]]:
    model = read_bundle(Path(bundle)).model
    return key_of(model), [(each.name, [category.name for category in each.categories]) for each in model.attributes]


BODIES: Final[dict[str, Callable[[Order, int], bytes]]] = {
    "plain": _plain,
    "json": _json,
    "triton": _triton,
    "studio": _studio,
}
