"""`python -m benchmarks.encoders`: what encoding an image costs, and how large it gets; `--write` puts it into docs.

The worker's encoders stand beside others that could be taken. Rows of libraries that are not installed are left out:
`pip install zlib-ng fpng lazy_loader opencv-python-headless imagecodecs`.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeAlias

import deflate
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image, ImageDraw

from benchmarks.figures import ROOT, newest, write
from unikat.conditions import Schema
from unikat.sampling import latents
from unikat_worker.encoding import encode

Pixels: TypeAlias = npt.NDArray[np.uint8]
Encode: TypeAlias = Callable[[Pixels], list[bytes]]
Filter: TypeAlias = Callable[[Pixels], Pixels]  # rows (N, H, W · channels) to what is compressed

BATCH: Final = 8
FLAT: Final = "flat"
DRAWN: Final = "drawn"
# Kind of picture, edge in pixels, how many.
SETS: Final = ((DRAWN, 32, 200), (DRAWN, 64, 200), (DRAWN, 128, 64), (DRAWN, 256, 24), (FLAT, 64, 200), (FLAT, 128, 64))


def drawings(models: Path, size: int, count: int) -> Pixels:
    """Images of seed 1 by the newest emoji model, scaled up to `size` where it draws smaller ones: (N, H, W, 3)."""
    bundle = newest(models, "emoji")
    model, schema = bundle.model, Schema(bundle.model)
    feed = {
        "latent": latents(1, range(count), model.latent_size),
        "truncation": np.full((count, 1), model.default_truncation, np.float32),
        "condition": schema.vectors(schema.complete({}, 1, range(count))),
    }
    pixels = ort.InferenceSession(bundle.graph.read_bytes(), providers=["CPUExecutionProvider"]).run(["image"], feed)[0]
    scaled = (Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC) for image in pixels)
    return np.stack([np.asarray(image) for image in scaled])


def flat_art(size: int, count: int) -> Pixels:
    """Ellipses and polygons of one colour with smooth edges, on a background of one colour: (N, H, W, 3)."""
    random = np.random.default_rng(1)
    edge = 4 * size
    pictures = []
    for _ in range(count):
        picture = Image.new("RGB", (edge, edge), _colour(random))
        draw = ImageDraw.Draw(picture)
        for _ in range(12):
            (x, y), (w, h) = random.uniform(0.1, 0.9, 2) * edge, random.uniform(0.05, 0.3, 2) * edge
            if random.random() < 0.5:
                draw.ellipse((x - w, y - h, x + w, y + h), _colour(random), outline=(20, 20, 30), width=edge // 64)
            else:
                corners = [(x + w * np.cos(turn), y + h * np.sin(turn)) for turn in random.uniform(0, 6.28, 5)]
                draw.polygon(corners, _colour(random))
        pictures.append(np.asarray(picture.resize((size, size), Image.Resampling.BOX)))
    return np.stack(pictures)


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue


def none_filter(pixels: Pixels) -> Pixels:
    """PNG's filter 0: the bytes themselves."""
    return _filtered(0, _rows(pixels))


def sub_filter(pixels: Pixels) -> Pixels:
    """PNG's filter 1: less the pixel to the left."""
    return _filtered(1, np.diff(_rows(pixels).reshape(pixels.shape), axis=2, prepend=np.uint8(0)))


def up_filter(pixels: Pixels) -> Pixels:
    """PNG's filter 2: less the pixel above."""
    return _filtered(2, np.diff(_rows(pixels), axis=1, prepend=np.uint8(0)))


def paeth_filter(pixels: Pixels) -> Pixels:
    """PNG's filter 4: less the one of the neighbours left, above and above left that fits best."""
    padded = np.pad(pixels.astype(np.int16), ((0, 0), (1, 0), (1, 0), (0, 0)))
    left, up, corner = padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]
    by_left, by_up, by_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
    best = np.where(by_up <= by_corner, up, corner)
    best = np.where((by_left <= by_up) & (by_left <= by_corner), left, best)
    return _filtered(4, pixels - best.astype(np.uint8))


def sub_or_up_filter(pixels: Pixels) -> Pixels:
    """In each row, *sub* or *up*: whichever has the smaller sum of distances to 0 (RFC 2083, 9.6)."""
    sub, up = sub_filter(pixels), up_filter(pixels)
    costs = [np.minimum(f[..., 1:], -f[..., 1:]).sum(axis=2, dtype=np.uint32) for f in (sub, up)]
    return np.where((costs[0] < costs[1])[..., None], sub, up)


FILTERS: Final[dict[str, Filter]] = {
    "none": none_filter, "*sub*": sub_filter, "*paeth*": paeth_filter, "*sub* or *up* by row": sub_or_up_filter,
}  # fmt: skip


def _rows(pixels: Pixels) -> Pixels:
    return pixels.reshape(*pixels.shape[:2], -1)


def _filtered(kind: int, values: Pixels) -> Pixels:
    rows = _rows(values)
    return np.concatenate([np.full((*rows.shape[:2], 1), kind, np.uint8), rows], axis=2)


def png(filter_rows: Filter, compress: Callable[[bytes], bytes | bytearray]) -> Encode:
    """A PNG encoder of a filter and a zlib compressor."""

    def encode_batch(pixels: Pixels) -> list[bytes]:
        header = struct.pack(">IIBBBBB", pixels.shape[2], pixels.shape[1], 8, 2, 0, 0, 0)
        head = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header)
        return [head + _chunk(b"IDAT", compress(rows.data)) + _chunk(b"IEND", b"") for rows in filter_rows(pixels)]

    return encode_batch


def _chunk(kind: bytes, data: bytes | bytearray) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def ours(name: str) -> Encode:
    """One of the worker's encoders."""
    return lambda pixels: encode(pixels, name)


def each(encode_one: Callable[[Pixels], bytes]) -> Encode:
    """An encoder that takes one image at a time."""
    return lambda pixels: [encode_one(image) for image in pixels]


def pillow(name: str, **options: Any) -> Encode:  # noqa: ANN401  (Pillow's own options)
    """Pillow with these options."""

    def encode_one(image: Pixels) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, name, **options)
        return buffer.getvalue()

    return each(encode_one)


def png_rows() -> Iterator[tuple[str, Encode]]:
    """Label and encoder of each row of the PNG table."""
    yield "Pillow, level 1", pillow("PNG", compress_level=1)
    yield "`png-3`: libdeflate level 1, *up*", ours("png-3")
    for label, filter_rows in FILTERS.items():
        yield f"libdeflate level 1, {label}", png(filter_rows, lambda data: deflate.zlib_compress(data, 1))
    yield f"zlib {zlib.ZLIB_RUNTIME_VERSION} level 1, *up*", png(up_filter, lambda data: zlib.compress(data, 1))
    if isal := _installed("isal.isal_zlib"):
        yield _named("isal", "level 1, *up*"), png(up_filter, lambda data: isal.compress(data, 1))
    if zlib_ng := _installed("zlib_ng.zlib_ng"):
        yield _named("zlib-ng", "level 1, *up*"), png(up_filter, lambda data: zlib_ng.compress(data, 1))
    if fpng := _installed("fpng"):
        yield _named("fpng", ""), each(fpng.from_ndarray)
    if codecs := _installed("imagecodecs"):
        yield _named("imagecodecs", "(libpng) level 1"), each(lambda image: codecs.png_encode(image, level=1))
    if cv2 := _installed("cv2"):
        level = [cv2.IMWRITE_PNG_COMPRESSION, 1]
        yield _named("opencv-python-headless", "level 1"), each(lambda image: _opencv(cv2, ".png", image, level))


def webp_rows() -> Iterator[tuple[str, Encode]]:
    """Label and encoder of each row of the table of lossless WebP."""
    yield "`webp-2`: Pillow, method 1, quality 0", ours("webp-2")
    for method, quality in ((0, 0), (1, 25), (1, 50), (2, 0), (2, 50)):
        label = f"Pillow, method {method}, quality {quality}"
        yield label, pillow("WEBP", lossless=True, quality=quality, method=method, exact=True)
    if codecs := _installed("imagecodecs"):
        label = _named("imagecodecs", "method 1, quality 0")
        yield label, each(lambda image: codecs.webp_encode(image, level=0, lossless=True, method=1))


def jpeg_rows() -> Iterator[tuple[str, Encode]]:
    """Label and encoder of each row of the JPEG table."""
    yield "Pillow", pillow("JPEG", quality=95, subsampling=0)
    yield "`jpeg-2`: simplejpeg", ours("jpeg-2")
    if codecs := _installed("imagecodecs"):
        label = _named("imagecodecs", "(libjpeg-turbo)")
        yield label, each(lambda image: codecs.jpeg8_encode(image, level=95, subsampling="444"))
    if cv2 := _installed("cv2"):
        full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
        yield _named("opencv-python-headless", ""), each(lambda image: _opencv(cv2, ".jpg", image, options))


def _installed(module: str) -> Any:  # noqa: ANN401  (libraries without types, only measured here)
    try:
        return import_module(module)
    except ImportError:
        return None


def _named(package: str, what: str) -> str:
    try:
        return f"{package} {version(package)} {what}".rstrip()
    except PackageNotFoundError:
        return f"{package} {what}".rstrip()


def _opencv(cv2: Any, suffix: str, image: Pixels, options: list[int]) -> bytes:  # noqa: ANN401
    data: bytes = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
    return data


def measure(encode_batch: Encode, pixels: Pixels, batch: int, seconds: float) -> tuple[float, float]:
    """Microseconds an image, each batch at its fastest of three rounds or more, and bytes an image."""
    batches = [pixels[start : start + batch] for start in range(0, len(pixels), batch)]
    size = sum(len(file) for each_batch in batches for file in encode_batch(each_batch)) / len(pixels)
    best = [float("inf")] * len(batches)
    rounds, end = 0, time.perf_counter() + seconds
    while rounds < 3 or time.perf_counter() < end:
        for number, each_batch in enumerate(batches):
            begun = time.perf_counter()
            encode_batch(each_batch)
            best[number] = min(best[number], time.perf_counter() - begun)
        rounds += 1
    return sum(best) / len(pixels) * 1e6, size


def table(rows: Iterator[tuple[str, Encode]], pictures: Sequence[Pixels], seconds: float) -> Iterator[str]:
    """Markdown: one encoder a row, one set of pictures a column."""
    yield "| | " + " | ".join(f"{kind}, {size} px" for kind, size, _ in SETS) + " |"
    yield "| --- |" + " ---: |" * len(SETS)
    for label, encode_batch in rows:
        cells = (measure(encode_batch, pixels, BATCH, seconds) for pixels in pictures)
        yield f"| {label} | " + " | ".join(f"{micros:,.0f} µs, {size:,.0f} B" for micros, size in cells) + " |"


def report(models: Path, seconds: float) -> Iterator[str]:
    """All figures, as Markdown."""
    pictures = [drawings(models, size, n) if kind == DRAWN else flat_art(size, n) for kind, size, n in SETS]
    machine = f"{len(os.sched_getaffinity(0))} cores of {platform.machine()}, Python {platform.python_version()}"
    yield f"{machine}, deflate {version('deflate')}, Pillow {version('pillow')}, simplejpeg {version('simplejpeg')}."
    for name, rows in (("PNG", png_rows()), ("WebP, lossless", webp_rows()), ("JPEG, quality 95, 4:4:4", jpeg_rows())):
        yield from ("", f"**{name}**", "", *table(rows, pictures, seconds))
    yield from ("", "**Images in a batch**, 64 px, drawn", "", "| | 1 | 8 | 32 |", "| --- | ---: | ---: | ---: |")
    for name in ("png-3", "webp-2", "jpeg-2"):
        costs = [measure(ours(name), pictures[1], batch, seconds)[0] for batch in (1, 8, 32)]
        yield f"| `{name}` | " + " | ".join(f"{micros:,.0f} µs" for micros in costs) + " |"


# Reads rows of drawings, one after the other, and prints a checksum of what is made of each.
_PROCESS: Final = """
import sys, zlib
{compress}
data = sys.stdin.buffer.read()
for row in (data[at:at + {size}] for at in range(0, len(data), {size})):
    print(zlib.crc32(compress(row, 1)))
"""
_COMPRESSORS: Final = {
    "isal": "from isal.isal_zlib import compress", "libdeflate": "from deflate import zlib_compress as compress",
}  # fmt: skip


def differing(pictures: Pixels, processes: int) -> Iterator[str]:
    """Of each compressor, how many of so many fresh processes make other bytes of the same rows than most do."""
    rows = up_filter(pictures)
    data, size = rows.tobytes(), rows[0].nbytes
    for name, compress in _COMPRESSORS.items():
        command = [sys.executable, "-I", "-c", _PROCESS.format(compress=compress, size=size)]

        def run(_: int, command: list[str] = command) -> bytes:
            return subprocess.run(command, input=data, capture_output=True, check=True).stdout

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = Counter(threads.map(run, range(processes)))
        yield f"{name}: other bytes in {processes - found.most_common(1)[0][1]:,} of {processes:,} processes"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoders", description=__doc__)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of bundles with an emoji model")
    parser.add_argument("--seconds", type=float, default=0.15, help="seconds a cell; longer is steadier")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/encoders.md")
    parser.add_argument("--processes", type=int, help="only count fresh processes that make other bytes, of so many")
    options = parser.parse_args(arguments)
    if options.processes:
        for line in differing(drawings(options.models, 128, 9), options.processes):
            print(line, flush=True)
        return
    lines = list(report(options.models, options.seconds))
    print("\n".join(lines))
    if options.write:
        write("encoders", lines, ROOT / "docs" / "encoders.md")


if __name__ == "__main__":
    main()
