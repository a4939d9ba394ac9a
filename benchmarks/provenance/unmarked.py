"""How often a mark is found in pictures that have none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

import numpy as np

from benchmarks.provenance.marks import MARK
from benchmarks.provenance.pictures import MODELS, PHOTOGRAPHS, Pixels, drawings, kinds, photographs, scaled
from unikat.watermark import FALSE_ALARM

SIZES: Final = (64, 64, 64, 32, 128, 96, 64, 64, 256, 48)  # of a chunk, in turn: most marks are in small pictures
CHUNK: Final = 100
SEARCHED: Final = 700  # takes a hundred times as long
_DRAWN: Final = 10  # one in so many of each model; the others are photographs, which cost less than drawings


def unmarked(kind: str, count: int) -> Iterator[Pixels]:
    """Pictures (H, W, 3) of several sizes: photographs; drawings of a seed that no other table uses, and mirrored."""
    sizes = [SIZES[number // CHUNK % len(SIZES)] for number in range(count)]
    if kind == PHOTOGRAPHS:
        yield from photographs(2, sizes)
        return
    drawn = (picture[..., :3] for batch in drawings(kind, 2, -(-count // 2)) for picture in batch)
    both = (view for picture in drawn for view in (picture, np.ascontiguousarray(picture[:, ::-1])))
    for picture, size in zip(both, sizes, strict=False):
        yield scaled(picture, (size, size))


def false_alarm_table(count: int) -> Iterator[str]:
    """A row for each kind of picture. One in `SEARCHED` is searched as well."""
    yield "| unmarked, 32 to 256 px | as they are | found | least chance | searched | found | least chance |"
    yield "| --- |" + " ---: |" * 6
    for kind in kinds():
        drawn = count // (_DRAWN if len(kinds()) > len(MODELS) else len(MODELS))
        share = count - len(MODELS) * drawn if kind == PHOTOGRAPHS else drawn
        found = unmarked(kind, share)
        quick: list[float] = []
        searched: list[float] = []
        while chunk := list(islice(found, CHUNK)):
            quick += MARK.chances(np.stack(chunk))
            if len(quick) % SEARCHED == CHUNK % SEARCHED:
                searched.append(MARK.detect(chunk[len(searched) % len(chunk)]).chance)
        yield f"| {kind} | {_cells(quick)} | {_cells(searched)} |"


def _cells(chances: list[float]) -> str:
    found = np.array(chances)
    return f"{len(found):,} | {(found <= FALSE_ALARM).sum()} | {found.min():.1e}"
