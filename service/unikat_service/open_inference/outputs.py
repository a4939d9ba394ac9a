"""The outputs of a ModelInfer call, from the images that a job published."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Final

from google.protobuf import json_format

from unikat.conditions import FieldError
from unikat.inference import open_inference_pb2 as pb
from unikat.statuses import invalid
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Artwork, ImageFormat
from unikat_service.open_inference.tensors import IMAGE, OUTPUTS, PIXELS, channels_of, raw_texts, shape_of
from unikat_service.requests import Order

# Of one answer, which is one message; one image is never too much. It goes by the pixels, which files are below.
MAX_ANSWER_BYTES: Final = 32 * 2**20
_MODES: Final = {3: "RGB", 4: "RGBA"}


def answer_bytes(order: Order, outputs: Sequence[str]) -> int:
    """What an answer has at most, but for some headers. Without images it counts as with: their files are held, too."""
    model = order.model
    pictures = max(1, len({*outputs} & {IMAGE, PIXELS}))
    return order.request.count * model.width * model.height * channels_of(model) * pictures


def check_answer(order: Order, outputs: Sequence[str]) -> None:
    """Raises UnikatError (INVALID_ARGUMENT) for more images than fit an answer, and for pixels of a file with loss."""
    problems = []
    count, size = order.request.count, answer_bytes(order, outputs)
    if size > MAX_ANSWER_BYTES and count > 1:
        most = max(1, MAX_ANSWER_BYTES * count // size)
        text = f"must be 1 to {most}, not {count}: an answer has at most {MAX_ANSWER_BYTES >> 20} MiB"
        problems.append(FieldError("count", f"{text}; unikat.v1.Studio/Generate streams more"))
    if PIXELS in outputs and order.image_format == ImageFormat.IMAGE_FORMAT_JPEG:
        problems.append(FieldError("format", "must be png or webp, or left out, where pixels are asked for"))
    if problems:
        raise invalid(problems)


def filled(
    answer: pb.ModelInferResponse, outputs: Sequence[str], model: Model, artworks: Sequence[Artwork]
) -> pb.ModelInferResponse:
    """The answer with its outputs. It decodes files where pixels are asked for, so it is for a thread."""
    for name in outputs:
        shape = shape_of(name, model, len(artworks))
        answer.outputs.add(name=name, datatype=OUTPUTS[name].name, shape=shape)
        answer.raw_output_contents.append(_content(name, channels_of(model), artworks))
    return answer


def _content(name: str, channels: int, artworks: Sequence[Artwork]) -> bytes:
    if name == IMAGE:
        return raw_texts([artwork.image for artwork in artworks])
    if name == PIXELS:
        return b"".join(_pixels(artwork.image, _MODES[channels]) for artwork in artworks)
    return raw_texts([_facts(artwork) for artwork in artworks])


def _pixels(file: bytes, mode: str) -> bytes:
    from PIL import Image  # a service that nobody asks for pixels decodes nothing

    with Image.open(BytesIO(file)) as image:
        return image.convert(mode).tobytes()


def _facts(artwork: Artwork) -> bytes:
    """JSON of the artwork without its image."""
    facts = Artwork()
    facts.CopyFrom(artwork)
    facts.ClearField("image")
    return json_format.MessageToJson(facts, indent=None, ensure_ascii=False).encode()
