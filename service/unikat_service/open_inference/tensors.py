"""Inputs and outputs of every model, declared once, and what clients read of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from unikat.bundle import RGBA
from unikat.conditions import FieldError
from unikat.inference import open_inference_pb2 as pb
from unikat.v1.model_pb2 import Model

PLATFORM: Final = "unikat_onnx"
SHAPE: Final = (1,)  # of every input


@dataclass(frozen=True)
class Datatype:
    """A type of the protocol: the list of its elements, its form as raw bytes ("": BYTES), and Triton's number."""

    name: str
    contents: str
    form: str
    number: pb.DataType


BYTES: Final = Datatype("BYTES", "bytes_contents", "", pb.TYPE_STRING)
UINT8: Final = Datatype("UINT8", "uint_contents", "B", pb.TYPE_UINT8)
UINT32: Final = Datatype("UINT32", "uint_contents", "<I", pb.TYPE_UINT32)
UINT64: Final = Datatype("UINT64", "uint64_contents", "<Q", pb.TYPE_UINT64)
FP32: Final = Datatype("FP32", "fp32_contents", "<f", pb.TYPE_FP32)

INPUTS: Final[dict[str, Datatype]] = {
    "seed": UINT64,
    "index": UINT32,
    "count": UINT32,
    "conditions": BYTES,
    "recipe": BYTES,
    "truncation": FP32,
    "background": BYTES,
}

IMAGE, PIXELS, ARTWORK = "image", "pixels", "artwork"
OUTPUTS: Final[dict[str, Datatype]] = {IMAGE: BYTES, PIXELS: UINT8, ARTWORK: BYTES}


def channels_of(model: Model) -> int:
    """Of the pixels that a model draws."""
    return RGBA if model.channels == RGBA else 3


def shape_of(output: str, model: Model, count: int = -1) -> list[int]:
    """Shape of an output of `count` images (-1: it differs from call to call)."""
    return [count, model.height, model.width, channels_of(model)] if output == PIXELS else [count]


def metadata(model: Model, versions: list[str]) -> pb.ModelMetadataResponse:
    """What a model takes and gives."""
    kind = pb.ModelMetadataResponse.TensorMetadata
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=versions,
        platform=PLATFORM,
        inputs=[kind(name=name, datatype=of.name, shape=SHAPE) for name, of in INPUTS.items()],
        outputs=[kind(name=name, datatype=of.name, shape=shape_of(name, model)) for name, of in OUTPUTS.items()],
    )


def config(model: Model) -> pb.ModelConfig:
    """The same in the form of Triton's configuration."""
    return pb.ModelConfig(
        name=model.name,
        platform=PLATFORM,
        input=[pb.ModelInput(name=name, data_type=of.number, dims=SHAPE, optional=True) for name, of in INPUTS.items()],
        output=[
            pb.ModelOutput(name=name, data_type=of.number, dims=shape_of(name, model)) for name, of in OUTPUTS.items()
        ],
    )


def elements_of(raw: bytes, datatype: Datatype, field: str) -> list[int | float | bytes]:
    """The elements of raw bytes. Raises FieldError."""
    if datatype.form:
        size = struct.calcsize(datatype.form)
        if len(raw) % size:
            raise FieldError(field, f"must be elements of {size} bytes, as {datatype.name} has, not {len(raw)} bytes")
        return [element for (element,) in struct.iter_unpack(datatype.form, raw)]
    return list(_texts(raw, field))


def _texts(raw: bytes, field: str) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "little")
        text = raw[at + 4 : at + 4 + length]
        if len(raw) < at + 4 or len(text) < length:
            raise FieldError(field, "must be, for each element, its length (4 bytes, little-endian) and so many bytes")
        yield text
        at += 4 + length


def raw_texts(texts: list[bytes]) -> bytes:
    """Elements of BYTES as raw bytes."""
    return b"".join(part for text in texts for part in (len(text).to_bytes(4, "little"), text))
