"""`python -m benchmarks.credentials`: what Content Credentials cost; `--write` puts the table into docs/provenance.md.

Noise is signed: what is added does not depend on the pixels, and hashing them is the smallest part.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Final

import c2pa
import numpy as np
from PIL import Image

from benchmarks.figures import ROOT, write
from unikat.artwork import Renderer
from unikat.cli.authority import Authority
from unikat.content_credentials.about import About
from unikat.content_credentials.reading import State, read
from unikat.content_credentials.signing import KeyFileSigner, embed, sidecar

PAGE: Final = ROOT / "docs" / "provenance.md"
SIZES: Final = (64, 256)
FORMATS: Final = ("PNG", "WebP", "JPEG")
ABOUT: Final = About(
    model="portraits@1", model_digest="sha256:" + "ab" * 32, artwork_id="0123456789abcdef", seed=7, index=3,
    conditions={"style": {"lorelei": 0.6, "micah": 0.4}, "hair_color": "pink", "glasses": "dark", "skin": "light"},
    truncation=0.7, background="#cfe3f1ff", digest=bytes(32), mark=bytes(4),
    renderer=Renderer("CPUExecutionProvider", "onnxruntime 1.32.0", "x86_64", "png-3"),
)  # fmt: skip


@dataclass(frozen=True)
class Default:
    """A signer with c2pa's own settings: thumbnails, and what was signed is read back."""

    context: c2pa.Context

    @classmethod
    def of(cls, chain: Path, key: Path) -> Default:
        info = c2pa.C2paSignerInfo("es256", chain.read_bytes(), key.read_bytes(), None)
        return cls(c2pa.Context(signer=c2pa.Signer.from_info(info)))


def picture(image_format: str, size: int) -> bytes:
    """A file of noise, `size` pixels wide and high."""
    noise = np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, image_format)
    return file.getvalue()


def milliseconds(work: Callable[[], object], times: int) -> float:
    """The median."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1000


def rows(folder: Path, times: int) -> Iterator[str]:
    authority = Authority.create()
    authority.issue_signer("Benchmark", 1).save(folder, "sign")
    files = folder / "sign.crt", folder / "sign.key"
    signer, default = KeyFileSigner(*files), Default.of(*files)
    yield "| | added bytes | embedded, ms | apart, ms | read, ms | 8 threads, a second | c2pa's defaults: bytes | ms |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for size in SIZES:
        for name in FORMATS:
            data, media_type = picture(name, size), f"image/{name.lower()}"
            sign = partial(embed, data, media_type, ABOUT, signer)
            heavy = partial(embed, data, media_type, ABOUT, default)
            check = partial(read, sign(), media_type, anchors=authority.root)
            assert check().state == State.VALID
            works = (sign, partial(sidecar, data, media_type, ABOUT, signer), check)
            quick = " | ".join(f"{milliseconds(work, times):.2f}" for work in works)
            added, more = len(sign()) - len(data), len(heavy()) - len(data)
            slow = milliseconds(heavy, max(3, times // 20))
            rate = a_second(sign, times * 4)
            yield f"| {name}, {size} px | {added:,} | {quick} | {rate:,.0f} | {more:,} | {slow:.0f} |"


def a_second(work: Callable[[], object], times: int) -> float:
    """How often eight threads do it."""
    with ThreadPoolExecutor(8) as pool:
        begun = time.perf_counter()
        for each in [pool.submit(work) for _ in range(times)]:
            each.result()
        return times / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=400, help="signatures a figure")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = list(rows(Path(folder), options.times))
    where = f"{len(os.sched_getaffinity(0))} cores of {platform.machine()}, c2pa-python {version('c2pa-python')}"
    lines += ["", f"ES256 with a key in a file; {where}; medians of {options.times}."]
    print(*lines, sep="\n")
    if options.write:
        write("credentials", lines, PAGE)


if __name__ == "__main__":
    main()
