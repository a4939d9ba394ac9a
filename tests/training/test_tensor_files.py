"""safetensors files that claim more than they hold are refused before anything is allocated."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Final

import pytest
import torch
from safetensors.torch import save_file

from unikat_training.checkpoint import PROGRESS, TENSORS, load_checkpoint
from unikat_training.errors import TrainingError
from unikat_training.tensor_files import MAX_HEADER, check_tensors
from unikat_training.warm_start.weights_file import unpacked


def packed(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(shape: list[int], end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}


DAMAGED: Final = {
    "empty": b"",
    "a header beyond the file": packed(b"{}", length=2**40),
    "a large header": packed(b"{" + b" " * MAX_HEADER + b"}"),
    "a deep header": packed(b"[" * 100_000),
    "no object": packed([]),
    "more than the file": packed({"a": tensor([10**9], 4 * 10**9)}),
    "another size": packed({"a": tensor([3], 8)}, bytes(8)),
    "huge and empty": packed({"a": tensor([0, 2**62], 0)}),
    "many dimensions": packed({"a": tensor([1] * 100, 4)}, bytes(4)),
    "numbers that are none": packed({"a": tensor([True, 2.0], 8)}, bytes(8)),  # type: ignore[list-item]
    "an unknown type": packed({"a": tensor([1], 4, "X32")}, bytes(4)),
    "a gap": packed({"a": {**tensor([1], 4), "data_offsets": [4, 8]}}, bytes(8)),  # safetensors' own check
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_of_weights_that_is_damaged_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / "training.safetensors"
    file.write_bytes(DAMAGED[name])
    with pytest.raises(TrainingError, match=r"training\.safetensors: cannot be read"):
        unpacked(file)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / TENSORS).write_bytes(DAMAGED[name])
    (tmp_path / PROGRESS).write_text('{"format": 2}')
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path, torch.device("cpu"))


def test_what_torch_saves_is_read(tmp_path: Path) -> None:
    types = (
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
    )
    saved = {f"average.{dtype}": torch.ones(2, 3).to(dtype) for dtype in types}
    saved |= {"average.scalar": torch.tensor(1.0), "average.none": torch.zeros(0, 3)}
    save_file(saved, tmp_path / "x")
    check_tensors(tmp_path / "x")
    assert unpacked(tmp_path / "x").keys() == saved.keys()
