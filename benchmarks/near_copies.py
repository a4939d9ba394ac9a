"""`python -m benchmarks near-copies`: what the registry's bound of near copies catches, and what it should not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Annotated, Final

import numpy as np
import typer

from benchmarks.figures import ROOT, newest, write
from benchmarks.provenance.attacks import ATTACKS
from benchmarks.provenance.pictures import MODELS, drawings
from unikat.likeness import COLOUR_BYTES, HASH_BYTES, Look, Looks, distances
from unikat.watermark import Watermark

_MARK: Final = Watermark(hashlib.sha256(b"benchmarks near-copies").digest())
_SHOWN: Final = (
    "none", "JPEG 90", "JPEG 75", "JPEG 50", "WebP 80", "noise σ 5", "screenshot ×3, JPEG 85", "resize 50%",
    "resize 200%", "mirrored",
)  # fmt: skip


def measured(name: str, count: int, damaged: int) -> tuple[list[str], str]:
    """The shares of damaged twins that are caught, an attack each; and pairs of other drawings of a style."""
    (styles,) = [each for each in newest(ROOT / "models", name).model.attributes if each.name == "style"]
    caught: dict[str, list[bool]] = {attack: [] for attack in _SHOWN}
    near = pairs = with_one = 0
    for number, category in enumerate(styles.categories):
        batches = drawings(name, 11 + number, count, {"style": {category.name: 1.0}})
        pixels = np.concatenate([batch[..., :3] for batch in batches])
        looks = [Look.of(each) for each in pixels]
        hashes = np.frombuffer(b"".join(look.hash for look in looks), np.uint8).reshape(-1, HASH_BYTES)
        colours = np.frombuffer(b"".join(look.colours for look in looks), np.uint8).reshape(-1, COLOUR_BYTES)
        is_near = np.zeros((count, count), bool)
        for first in range(count - 1):
            found = distances(Looks.of(pixels[first]), hashes[first + 1 :], colours[first + 1 :])
            is_near[first, first + 1 :] = [each.is_near_copy for each in found]
        near, pairs = near + int(is_near.sum()), pairs + count * (count - 1) // 2
        with_one += int(is_near.any(axis=0).sum())
        marked = _MARK.embed(pixels[:damaged], [hashlib.sha256(b"%d" % i).digest() for i in range(damaged)])
        for attack in _SHOWN:
            for index, each in enumerate(marked):
                (found_one,) = distances(
                    Looks.of(ATTACKS[attack](each)), hashes[index : index + 1], colours[index : index + 1]
                )
                caught[attack].append(found_one.is_near_copy)
    many = len(styles.categories)
    other = f"{near:,} of {pairs:,} ({near / pairs:.3%}); {with_one / many / count:.1%} of {count} a style"
    return [f"{np.mean(caught[attack]):.0%}" for attack in _SHOWN], other


def report(count: int, damaged: int) -> Iterator[str]:
    """The table, as Markdown."""
    columns = [measured(name, count, damaged) for name in MODELS]
    sizes = [newest(ROOT / "models", name).model.width for name in MODELS]
    names = [f"{name}, {size} px" for name, size in zip(MODELS, sizes, strict=True)]
    yield f"Near copies: {damaged} marked drawings a style, damaged, beside the unmarked ones; pairs of other drawings."
    yield ""
    yield "| | " + " | ".join(names) + " |"
    yield "| --- |" + " ---: |" * len(names)
    for row, attack in enumerate(_SHOWN):
        yield f"| {attack} | " + " | ".join(cells[row] for cells, _ in columns) + " |"
    yield "| two drawings of a style | " + " | ".join(other for _, other in columns) + " |"


def near_copies(
    count: Annotated[int, typer.Option(help="drawings a style, all pairs of which are compared")] = 200,
    damaged: Annotated[int, typer.Option(help="drawings a style that are damaged")] = 12,
    write_it: Annotated[bool, typer.Option("--write", help="into docs/provenance.md")] = False,
) -> None:
    """What the registry's bound of near copies catches, and how often two drawings of a style are within it."""
    lines = list(report(count, damaged))
    print("\n".join(lines))
    if write_it:
        write("near-copies", lines, ROOT / "docs" / "provenance.md")
