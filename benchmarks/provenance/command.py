"""`python -m benchmarks provenance`: what the watermark withstands, what it costs, and how often it errs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from PIL import Image

from benchmarks.figures import ROOT, write
from benchmarks.provenance.marks import MARK, digest
from benchmarks.provenance.pictures import MODELS, pictures
from benchmarks.provenance.tables import peer_tables, size_table, sticker_table
from benchmarks.provenance.unmarked import false_alarm_table
from unikat.watermark import MIN_SIZE

SIZES: Final = (32, 64, 128, 256)


class Part(StrEnum):
    """What is measured."""

    ATTACKS = "attacks"
    PEERS = "peers"
    STICKERS = "stickers"
    UNMARKED = "unmarked"


def sheet(path: Path) -> None:
    """Each drawing beside its marked one, at four times the size."""
    rows = []
    for name in MODELS:
        plain = pictures(name, 64, 40)[[2, 3, 12, 20]]
        marked = MARK.embed(plain, [digest(0)] * len(plain))
        rows.append(np.concatenate([np.concatenate(pair, axis=1) for pair in zip(plain, marked, strict=True)], axis=1))
    picture = Image.fromarray(np.concatenate(rows))
    picture.resize((picture.width * 4, picture.height * 4), Image.Resampling.NEAREST).save(path, optimize=True)


def tables(parts: list[Part], sizes: list[int], count: int, unmarked: int) -> Iterator[tuple[str, Iterator[str]]]:
    """Names of the places in the document, and what belongs there."""
    if Part.ATTACKS in parts:
        yield from ((f"provenance {size}", size_table(size, count)) for size in sizes)
    if Part.PEERS in parts:
        yield "provenance peers", peer_tables([size for size in sizes if size >= MIN_SIZE], count)
    if Part.STICKERS in parts:
        yield "provenance stickers", sticker_table(count)
    if Part.UNMARKED in parts:
        yield "provenance unmarked", false_alarm_table(unmarked)


def provenance(
    part: Annotated[list[Part], typer.Option(help="what is measured; may be given several times")] = list(Part),  # noqa: B006
    size: Annotated[list[int], typer.Option(help="pixels of a side; may be given several times")] = list(SIZES),  # noqa: B006
    count: Annotated[int, typer.Option(help="pictures a column")] = 100,
    unmarked: Annotated[int, typer.Option(help="pictures without a mark")] = 100_000,
    write_it: Annotated[bool, typer.Option("--write", help="into docs/provenance.md and docs/images")] = False,
) -> None:
    """What the watermark withstands, costs, and how often it errs."""
    for name, found in tables(part, size, count, unmarked):
        lines = list(found)
        print("\n".join(lines), flush=True)
        if write_it:
            write(name, lines, ROOT / "docs" / "provenance.md")
    if write_it:
        sheet(ROOT / "docs" / "images" / "watermark.png")
