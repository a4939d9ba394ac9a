"""What an ONNX file must not hold: weights that lie in other files.

ONNX Runtime would open whatever path a tensor names, so a graph is looked through before it is parsed. Of protobuf's
wire format (https://protobuf.dev/programming-guides/encoding) only as much is read as it takes to find the tensors;
weights are passed over, so that it takes no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE = "graph", "node", "attribute", "tensor", "sparse"
_FUNCTION, _TRAINING = "function", "training"
# The fields, by number, of each message (onnx.proto3) that lead to a tensor.
_INNER: Final[dict[str, dict[int, str]]] = {
    "model": {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION},
    _TRAINING: {1: _GRAPH, 2: _GRAPH},
    _FUNCTION: {7: _NODE, 11: _ATTRIBUTE},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of TensorProto
_MOST_DEPTH: Final = 100  # as deep as protobuf itself reads
_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5


def check_self_contained(content: bytes) -> None:
    """Raise ValueError for a graph with a tensor in another file, and for what is no protobuf message."""
    waiting = [("model", memoryview(content), 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise ValueError("cannot be loaded: its messages lie too deep in one another")
        for number, value in _fields(message):
            if kind == _TENSOR and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
                raise ValueError("has weights in another file; a bundle's graph holds all of them itself")
            inner = _INNER[kind].get(number)
            if inner is not None and isinstance(value, memoryview):
                waiting.append((inner, value, depth + 1))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each field; numbers of fixed width read as 0. Raises ValueError."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        value: memoryview | int = 0
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind == _LEN:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        elif kind in (_I64, _I32):
            at += 8 if kind == _I64 else 4
        else:  # groups, which ONNX has none of
            raise ValueError("cannot be loaded: it is no ONNX graph")
        if at > end or number == 0:
            raise ValueError("cannot be loaded: it is no ONNX graph")
        yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError("cannot be loaded: it is no ONNX graph")
