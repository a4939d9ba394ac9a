"""Names of the encoders of image files: the same pixels give the same bytes with the same encoder.

The service writes the encoder's name into a job, so that the job's images come from one encoder whichever worker draws
them and whenever. Names stay: a new setting or library is a new name. Nothing here encodes; a worker does.
"""

from __future__ import annotations

from typing import Final

from unikat.v1.studio_pb2 import IMAGE_FORMAT_JPEG, IMAGE_FORMAT_PNG, IMAGE_FORMAT_WEBP, ImageFormat

# By format, the oldest first. New jobs get the last.
ENCODERS: Final[dict[ImageFormat, tuple[str, ...]]] = {
    IMAGE_FORMAT_PNG: ("png-3",),
    IMAGE_FORMAT_WEBP: ("webp-2",),
    IMAGE_FORMAT_JPEG: ("jpeg-2",),
}
FORMAT_OF: Final[dict[str, ImageFormat]] = {name: number for number, names in ENCODERS.items() for name in names}
WITH_ALPHA: Final = frozenset({IMAGE_FORMAT_PNG, IMAGE_FORMAT_WEBP})  # formats that keep a fourth channel


def newest_encoder(image_format: int) -> str:
    """The encoder of new jobs. Raises ValueError for a format that this version does not know; 0 is PNG."""
    for number, names in ENCODERS.items():
        if number == (image_format or IMAGE_FORMAT_PNG):
            return names[-1]
    raise ValueError(f"image_format: must be one of {sorted(ENCODERS)}, not {image_format}")
