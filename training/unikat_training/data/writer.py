"""Writes `images.npy` one image at a time, without knowing beforehand how many will be good."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt


class ImagesWriter:
    """Appends images to a .npy file and states their number in its header when it is closed."""

    def __init__(self, file: Path, resolution: int, channels: int = 3) -> None:
        self._shape = (resolution, resolution, channels)
        self._file = file.open("wb")
        self._header_size = self._file.write(self._header(0))
        self.count = 0

    def add(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Appends one image, (H, W, channels)."""
        if pixels.shape != self._shape or pixels.dtype != np.uint8:
            raise ValueError(f"expected uint8{self._shape}, got {pixels.dtype}{pixels.shape}")
        self._file.write(np.ascontiguousarray(pixels).data)
        self.count += 1

    def _header(self, count: int) -> bytes:
        buffer = io.BytesIO()
        fields = {"descr": "|u1", "fortran_order": False, "shape": (count, *self._shape)}
        np.lib.format.write_array_header_1_0(buffer, fields)
        return buffer.getvalue()

    def __enter__(self) -> ImagesWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            header = self._header(self.count)
            # NumPy pads the header so that the first axis can grow in place; were that to change, say so.
            if len(header) != self._header_size:
                raise RuntimeError(f"the .npy header grew from {self._header_size} to {len(header)} bytes")
            self._file.seek(0)
            self._file.write(header)
