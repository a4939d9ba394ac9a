"""The tables: what the mark withstands at each size, other libraries beside it, and stickers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.provenance.attacks import ATTACKS, Attack
from benchmarks.provenance.marks import MARK, Mark, Unikat, digest, marks, payload
from benchmarks.provenance.pictures import MODELS, Pixels, kinds, photographs, pictures
from benchmarks.provenance.quality import flat_differences, growth, psnr, ssim
from unikat.watermark import MIN_SIZE, Detection

_COSTS: Final = ("cost an image", "PSNR", "SSIM", "CIEDE2000, flat areas", "PNG bytes", "read as it is", "searched")
_UNMARKED: Final = 8  # one in so many pictures is searched without a mark as well
_GUESSED: Final = 0.5  # of the bits that nothing is read of


@dataclass(frozen=True)
class Cell:
    """Shares of pictures read blindly and matched with the artwork known, of bits that are right, and the AUC."""

    read: float
    matched: float
    bits: float
    auc: float

    def __str__(self) -> str:
        return f"{self.read:.0%}, {self.matched:.0%}; {self.bits:.1%}; {self.auc:.3f}"


def column(plain: Pixels) -> list[str]:
    """Costs, then a cell for each attack."""
    mark = Unikat()
    marked = mark.embed(plain)
    cost = _milliseconds(lambda: mark.embed(plain)) / len(plain)
    quick = _milliseconds(lambda: [MARK.detect(picture, thorough=False) for picture in marked]) / len(plain)
    searched = _milliseconds(lambda: [MARK.detect(picture) for picture in plain[::_UNMARKED]]) / len(plain[::_UNMARKED])
    return [
        f"{cost:.2f} ms",
        f"{psnr(plain, marked):.1f} dB",
        ssim(plain, marked),
        flat_differences(plain, marked),
        growth(plain, marked),
        f"{quick:.1f} ms",
        f"{searched:.0f} ms",
        *(str(withstood(plain, marked, attack)) for attack in ATTACKS.values()),
    ]


def withstood(plain: Pixels, marked: Pixels, attack: Attack) -> Cell:
    """What is found of marked pictures after an attack."""
    size = marked.shape[1]
    damaged = [attack(picture) for picture in marked]
    found = [MARK.detect(picture) for picture in damaged]
    truths = [payload(number, size) for number in range(len(marked))]
    if size < MIN_SIZE:
        read = [each.found for each in found]
    else:
        read = [_bits(each, truth) == 1 for each, truth in zip(found, truths, strict=True)]
    matched = [
        was_read or MARK.matches(picture, digest(number)).found
        for number, (was_read, picture) in enumerate(zip(read, damaged, strict=True))
    ]
    others = [MARK.detect(attack(picture)) for picture in plain[::_UNMARKED]]
    bits = [_bits(each, truth) for each, truth in zip(found, truths, strict=True)] if size >= MIN_SIZE else read
    return Cell(float(np.mean(read)), float(np.mean(matched)), float(np.mean(bits)), auc(found, others))


def auc(marked: Sequence[Detection], unmarked: Sequence[Detection]) -> float:
    """How often a marked picture has the lesser chance than an unmarked one; equal chances count half."""
    ours = np.array([each.chance for each in marked])[:, None]
    theirs = np.array([each.chance for each in unmarked])
    return float(((ours < theirs) + 0.5 * (ours == theirs)).mean())


def _bits(found: Detection, truth: npt.NDArray[np.uint8]) -> float:
    if found.payload is None:
        return _GUESSED
    return float((np.unpackbits(np.frombuffer(found.payload, np.uint8))[: len(truth)] == truth).mean())


def _milliseconds(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1e3


def size_table(size: int, count: int) -> Iterator[str]:
    """A column for each kind of picture."""
    columns = [column(pictures(kind, size, count)) for kind in kinds()]
    yield (
        f"{count} pictures a column. Cells: read blindly, or matched with the artwork known; bits right (half where "
        "nothing is read); AUC."
    )
    yield ""
    yield f"| {size} px | " + " | ".join(kinds()) + " |"
    yield "| --- |" + " ---: |" * len(columns)
    for label, row in zip((*_COSTS, *ATTACKS), zip(*columns, strict=True), strict=True):
        yield f"| {label} | " + " | ".join(row) + " |"


def peer_tables(sizes: Sequence[int], count: int) -> Iterator[str]:
    """Libraries beside one another: a table a size, all kinds of pictures together."""
    libraries = marks()
    for size in sizes:
        plain = np.concatenate([pictures(kind, size, count) for kind in kinds()])
        rows = {mark.name: _peer(mark, plain) for mark in libraries if mark.smallest <= size}
        yield f"| {size} px, {len(payload(0, size))} bits | " + " | ".join(rows) + " |"
        yield "| --- |" + " ---: |" * len(rows)
        for label, row in zip((*_COSTS[:4], *ATTACKS), zip(*rows.values(), strict=True), strict=True):
            yield f"| {label} | " + " | ".join(row) + " |"
        yield ""
    yield f"{count} pictures of each kind ({', '.join(kinds())}). Cells: all bits right; bits right."


def _peer(mark: Mark, plain: Pixels) -> list[str]:
    size = plain.shape[1]
    marked = mark.embed(plain)
    cost = _milliseconds(lambda: mark.embed(plain)) / len(plain)
    cells = [f"{cost:.2f} ms", f"{psnr(plain, marked):.1f} dB", ssim(plain, marked), flat_differences(plain, marked)]
    for attack in ATTACKS.values():
        shares = []
        for number, picture in enumerate(marked):
            found = mark.read(attack(picture), size)
            shares.append(_GUESSED if found is None else float((found == payload(number, size)).mean()))
        cells.append(f"{np.mean(np.array(shares) == 1):.0%}; {np.mean(shares):.1%}")
    return cells


def sticker_table(count: int) -> Iterator[str]:
    """Stickers of 64 px with alpha, marked as such, then put on backgrounds."""
    random = np.random.default_rng(1)
    stickers = _stickers(count)
    marked = MARK.embed(stickers, [digest(number) for number in range(count)])
    grounds: dict[str, Pixels] = {
        "the sticker itself": marked,
        "white": np.full((count, 64, 64, 3), 255, np.uint8),
        "black": np.zeros((count, 64, 64, 3), np.uint8),
        "a colour": np.broadcast_to(random.integers(0, 256, (count, 1, 1, 3), np.uint8), (count, 64, 64, 3)),
    }
    if len(kinds()) > len(MODELS):
        grounds["a photograph"] = np.stack(list(photographs(3, [64] * count)))
    yield "| emoji of 64 px on | read blindly | matched |"
    yield "| --- | ---: | ---: |"
    for label, ground in grounds.items():
        shown = [_over(each, on) for each, on in zip(marked, ground, strict=True)]
        read = [MARK.detect(each).payload == digest(number)[:4] for number, each in enumerate(shown)]
        matched = [
            was or MARK.matches(each, digest(n)).found for n, (was, each) in enumerate(zip(read, shown, strict=True))
        ]
        yield f"| {label} | {np.mean(read):.0%} | {np.mean(matched):.0%} |"


def _stickers(count: int) -> Pixels:
    """(count, 64, 64, 4): drawings of emoji, what is white about them cut off along an ellipse with soft edges."""
    plain = pictures("emoji", 64, count)
    y, x = np.mgrid[:64, :64] - 31.5
    alpha = np.clip((29 - np.hypot(x, y)) * 255, 0, 255).astype(np.uint8)
    return np.concatenate([plain, np.broadcast_to(alpha[None, :, :, None], (count, 64, 64, 1))], axis=3)


def _over(sticker: Pixels, ground: Pixels) -> Pixels:
    if ground.shape[-1] == sticker.shape[-1]:
        return sticker
    share = sticker[..., 3:] / 255
    mixed: Pixels = np.rint(sticker[..., :3] * share + ground * (1 - share)).astype(np.uint8)
    return mixed
