"""The work that every contender does for an image: latent, condition, one session call, PNG.

It runs in the environments of other servers too, so it needs NumPy, ONNX Runtime and Pillow alone. What is asked for is
a model and a seed; everything else follows from the seed, as `conditions_of` says.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from unikat.sampling import latents

Pixels = npt.NDArray[np.uint8]
REQUEST = struct.Struct("<BQ")  # number of the model, seed


@dataclass(frozen=True)
class Setup:
    """How a server lays out its sessions: `lanes` that draw side by side, each with `threads` threads."""

    lanes: int
    threads: int

    def __str__(self) -> str:
        return f"{self.lanes}x{self.threads}"


@dataclass(frozen=True)
class Job:
    """What a server is told by its environment: the bundles, the set-up, where to listen, the PNG encoder."""

    bundles: tuple[Path, ...]
    setup: Setup
    port: int
    png: str

    def environment(self) -> dict[str, str]:
        """The variables that `from_environment` reads."""
        return {
            "BENCH_BUNDLES": os.pathsep.join(map(str, self.bundles)),
            "BENCH_LANES": str(self.setup.lanes),
            "BENCH_THREADS": str(self.setup.threads),
            "BENCH_PORT": str(self.port),
            "BENCH_PNG": self.png,
        }

    @classmethod
    def from_environment(cls) -> Job:
        """What the harness asked this process to serve."""
        read = os.environ.__getitem__
        return cls(
            tuple(map(Path, read("BENCH_BUNDLES").split(os.pathsep))),
            Setup(int(read("BENCH_LANES")), int(read("BENCH_THREADS"))),
            int(read("BENCH_PORT")),
            read("BENCH_PNG"),
        )

    def drawers(self) -> list[Drawer]:
        """One drawer a bundle, for one lane."""
        return [Drawer(bundle, self.setup.threads, self.png) for bundle in self.bundles]


class Drawer:
    """A bundle in one session."""

    def __init__(self, bundle: Path, threads: int, png: str = "pillow") -> None:
        """`png` is a key of ENCODERS."""
        model = json.loads((bundle / "model.json").read_text(encoding="utf-8"))
        self._latent = int(model["latentSize"])
        self._sizes = [len(attribute["categories"]) for attribute in model.get("attributes", [])]
        self._alpha = model.get("channels") == 4
        self._encode = ENCODERS[png]
        self._session = ort.InferenceSession(
            str(bundle / "generator.onnx"), options(threads), providers=["CPUExecutionProvider"]
        )

    def pixels(self, seeds: Sequence[int]) -> Pixels:
        """Image 0 of each seed, on white: uint8 (len(seeds), H, W, 3)."""
        count = len(seeds)
        feed: dict[str, npt.NDArray[np.float32]] = {
            "latent": latents(seeds, [0] * count, self._latent),
            "truncation": np.ones((count, 1), np.float32),
        }
        if self._sizes:
            feed["condition"] = np.zeros((count, sum(self._sizes)), np.float32)
            for row, seed in enumerate(seeds):
                offset = 0
                for size, category in zip(self._sizes, conditions_of(seed, self._sizes), strict=True):
                    feed["condition"][row, offset + category] = 1.0
                    offset += size
        if self._alpha:
            feed["background"] = np.ones((count, 4), np.float32)
        images: Pixels = self._session.run(["image"], feed)[0]
        return images[..., :3] if self._alpha else images

    def draw(self, seeds: Sequence[int]) -> list[bytes]:
        """The same as PNG files."""
        return [self._encode(image) for image in self.pixels(seeds)]


def options(threads: int) -> ort.SessionOptions:
    """One session of `threads` threads that do not spin: servers and clients want the cores."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return settings


def conditions_of(seed: int, sizes: Sequence[int]) -> list[int]:
    """The category asked of each attribute, by number."""
    return [(seed + attribute) % size for attribute, size in enumerate(sizes)]


def encode_pillow(image: Pixels) -> bytes:
    """PNG by Pillow, level 1: what people use."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def encode_isal(image: Pixels) -> bytes:
    """PNG by ISA-L, level 1, every line with the *sub* filter: a seventh of the time, a few percent more bytes."""
    from isal import isal_zlib  # only where it is asked for: no peer needs it

    height, width, _ = image.shape
    flat = image.reshape(height, 3 * width)
    lines = np.empty((height, 3 * width + 1), np.uint8)
    lines[:, 0] = 1
    lines[:, 1:4] = flat[:, :3]
    np.subtract(flat[:, 3:], flat[:, :-3], out=lines[:, 4:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = bytes(isal_zlib.compress(lines.tobytes(), 1))
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"".join((b"\x89PNG\r\n\x1a\n", *chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


ENCODERS: dict[str, Callable[[Pixels], bytes]] = {"pillow": encode_pillow, "isal": encode_isal}


def answer(drawers: Sequence[Drawer], body: bytes) -> bytes:
    """One request to one PNG."""
    model, seed = map(int, REQUEST.unpack(body))
    return drawers[model].draw([seed])[0]


def answer_many(drawers: Sequence[Drawer], bodies: Sequence[bytes]) -> list[bytes]:
    """Requests of any models to PNGs, in their order; those of one model are drawn together."""
    asked = [REQUEST.unpack(body) for body in bodies]
    images: dict[int, bytes] = {}
    for model in {model for model, _ in asked}:
        places = [place for place, (of, _) in enumerate(asked) if of == model]
        drawn = drawers[model].draw([asked[place][1] for place in places])
        images.update(zip(places, drawn, strict=True))
    return [images[place] for place in range(len(asked))]
