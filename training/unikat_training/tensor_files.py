"""safetensors files that others may have written: what they claim is compared with their size before they are read."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final, TypeGuard

from unikat.json_text import parse_json

MAX_HEADER: Final = 2**22  # bytes; of a checkpoint of ours it has some 100 kB, safetensors itself reads 100 MB
MAX_DIMENSIONS: Final = 8
_BITS: Final = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16} | {
    "U16": 16, "I8": 8, "U8": 8, "BOOL": 8
}  # fmt: skip


def check_tensors(path: Path) -> None:
    """Raises ValueError for a file whose header is too large, or whose tensors are not as large as it says.

    What is loaded afterwards takes as many bytes as the file has. Raises OSError where it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise ValueError(f"a header of {length} bytes in a file of {size}; at most {MAX_HEADER} are read")
        header = parse_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        _check(name, tensor, size - 8 - length)


def _check(name: str, tensor: object, available: int) -> None:
    if not isinstance(tensor, dict) or tensor.get("dtype") not in _BITS:
        raise ValueError(f"{name}: not a tensor of a type that is read")
    shape, offsets = tensor.get("shape"), tensor.get("data_offsets")
    if not _are_counts(shape) or not _are_counts(offsets) or len(shape) > MAX_DIMENSIONS or len(offsets) != 2:
        raise ValueError(f"{name}: its shape or place is no list of a few whole numbers")
    start, end = offsets
    if not start <= end <= available or end - start != math.prod(shape) * _BITS[tensor["dtype"]] // 8:
        raise ValueError(f"{name}: {tensor['dtype']} of shape {shape} in bytes {start} to {end} of {available}")
    if max(shape, default=0) > max(available, 2**20):  # of an empty tensor
        raise ValueError(f"{name}: the shape {shape} in {available} bytes")


def _are_counts(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
