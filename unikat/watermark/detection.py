"""Finding a mark: candidates of what was done to a picture, each with its share of the probability of chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unikat.watermark import code, geometry
from unikat.watermark.chance import evidence, log_chances
from unikat.watermark.layout import DITHERS, Band, Carriers
from unikat.watermark.matting import on_white
from unikat.watermark.visibility import LUMA

Doubles = NDArray[np.float64]

FALSE_ALARM: Final = 1e-6  # what is as improbable as this, or more so, counts as found
_STAGES: Final = (0.4, 0.2, 0.2, 0.2)  # of the probability of chance: nothing was done; blur, mirror; tone; crops
_SLOPES: Final = (0.0, -0.7, 0.7)  # scaling down takes the high frequencies, clipped whites the low ones


@dataclass(frozen=True)
class Detection:
    """What a picture says.

    `chance`: at most this is the probability, over the keys, that a picture made without the key says as much.
    `payload`: the first 4 or 8 bytes of the artwork's digest; None where none was read, and for a mark of presence.
    """

    payload: bytes | None
    chance: float

    @property
    def found(self) -> bool:
        """Whether there is a mark of this key."""
        return self.chance <= FALSE_ALARM


class Candidates(NamedTuple):
    """Projections (N, bits) in steps of the lattice, and how much those of the highest frequencies count."""

    carriers: Carriers
    places: Doubles
    slope: float = 0.0


class Words(NamedTuple):
    """Code words (N, bits), which of N were read, their payloads, and how many words there are (logarithm)."""

    bits: NDArray[np.uint8]
    read: NDArray[np.bool_]
    payloads: Sequence[bytes | None]
    log_count: float


Read = Callable[[Band, NDArray[np.float32]], Words]


def search(pixels: NDArray[np.uint8], bands: Sequence[Carriers], read: Read, thorough: bool) -> Detection:
    """The least probable reading of one picture; the first of `bands` is that of its size.

    `thorough`: a picture may be changed in tone, mirrored, blurred, cropped; else it is taken as it is.
    """
    grey = luma(pixels)
    stages: list[Callable[[], Iterable[Candidates]]] = [lambda: [plain(grey, bands[0])]]
    if thorough:
        views = _views(grey, pixels)
        stages += [
            lambda: _sharpened(views, bands),
            lambda: _toned(views, pixels, bands),
            lambda: _cropped(grey, bands),
        ]
    best = Detection(None, 1.0)
    for share, stage in zip(_STAGES, stages, strict=False):
        candidates = list(stage())
        tries = sum(len(each.places) for each in candidates) / share
        for each in candidates:
            best = min(best, likeliest(each, read, tries), key=lambda found: found.chance)
        if best.found:
            return best
    return Detection(None, best.chance)


def chances(pixels: NDArray[np.uint8], carriers: Carriers) -> list[float]:
    """Of what each of many pictures (N, H, W, 1, 3 or 4) says as it is."""
    places = np.concatenate([plain(luma(picture), carriers).places for picture in pixels])
    logs, _ = log_chances_of(Candidates(carriers, places), blind)
    found: list[float] = np.exp(np.minimum(0, logs - math.log(_STAGES[0]))).tolist()
    return found


def luma(pixels: NDArray[np.uint8]) -> Doubles:
    """(H, W, 1, 3 or 4) to (H, W); what is not opaque is seen on white."""
    wide = pixels.astype(np.float64)
    grey: Doubles = wide[..., 0] if pixels.shape[-1] == 1 else wide[..., :3] @ (np.array(LUMA) / 256)
    if pixels.shape[-1] == 4:
        grey = 255 + (grey - 255) * wide[..., 3] / 255
    return grey


def likeliest(candidates: Candidates, read: Read, tries: float) -> Detection:
    """The least probable of candidates, each one of `tries`."""
    logs, words = log_chances_of(candidates, read)
    index = int(np.argmin(logs))
    return Detection(words.payloads[index] or None, math.exp(min(0.0, float(logs[index]) + math.log(tries))))


def log_chances_of(candidates: Candidates, read: Read) -> tuple[Doubles, Words]:
    """(N,) logarithms of the chance of what each candidate says, and what that is."""
    carriers, places, slope = candidates
    weights = 1 + slope * (2 * carriers.ranks / carriers.ranks.max() - 1)
    soft = -np.cos(2 * np.pi * (places - carriers.dither / DITHERS))
    words = read(carriers.band, (soft * weights).astype(np.float32))
    totals = evidence(soft * (words.bits * 2.0 - 1)) @ weights
    totals = np.where(words.read, totals, -np.inf)
    return log_chances(totals, tuple(weights.tolist())) + words.log_count, words


def blind(band: Band, soft: NDArray[np.float32]) -> Words:
    """Reads whatever payload is there."""
    if not band.payload:
        return known(b"")(band, soft)
    decoded = code.decode(soft)
    payloads = code.payloads(decoded)
    read = np.array([payload is not None for payload in payloads])
    return Words(code.convolve(decoded), read, payloads, 8 * band.payload * math.log(2))


def known(digest: bytes) -> Read:
    """Reads the payload of one digest."""

    def read(band: Band, soft: NDArray[np.float32]) -> Words:
        payload = digest[: band.payload]
        bits = np.broadcast_to(code.word(payload, band.bits), soft.shape)
        return Words(bits, np.ones(len(soft), np.bool_), [payload] * len(soft), 0.0)

    return read


def _project(blocks: Doubles, carriers: Carriers) -> Doubles:
    """Coefficients (N, rows, rows) to projections (N, bits) in steps."""
    chips = blocks.reshape(len(blocks), -1)[:, carriers.cells] * carriers.signs
    places: Doubles = chips.sum(axis=1) * (256 / carriers.band.step)
    return places


def plain(grey: Doubles, carriers: Carriers) -> Candidates:
    """The picture as it is: its luma, (H, W)."""
    whole = ((geometry.WHOLE,), (geometry.WHOLE,))
    return Candidates(carriers, _project(geometry.blocks(grey, carriers.rows, whole), carriers))


def _views(grey: Doubles, pixels: NDArray[np.uint8]) -> list[Doubles]:
    """The picture's luma, and what it is on white where its background is of one colour."""
    white = on_white(pixels)
    return [grey] if white is None else [grey, luma(white)]


def _sharpened(views: Sequence[Doubles], bands: Sequence[Carriers]) -> Iterator[Candidates]:
    for carriers in bands:
        places = _undone(views, carriers)
        for slope in _SLOPES:
            yield Candidates(carriers, places, slope)


def _undone(views: Sequence[Doubles], carriers: Carriers) -> Doubles:
    """Projections of each view, and of it mirrored, each sharpened."""
    whole = ((geometry.WHOLE,), (geometry.WHOLE,))
    found = np.concatenate([geometry.blocks(view, carriers.rows, whole) for view in views])
    found = np.concatenate([found, geometry.mirrored(found)])
    return _project(np.concatenate([geometry.sharpened(found, by, *views[0].shape) for by in geometry.BLURS]), carriers)


def _toned(views: Sequence[Doubles], pixels: NDArray[np.uint8], bands: Sequence[Carriers]) -> Iterator[Candidates]:
    """The picture before its tones were raised, as far as they are not lost; and scales of contrast of each view."""
    whole = ((geometry.WHOLE,), (geometry.WHOLE,))
    scales = geometry.SCALES
    clipped: list[list[Doubles]] = [[] for _ in bands]
    for scale in scales[1:31]:  # one picture at a time: a photograph has 100 MB of them
        for each in geometry.darkened(pixels, float(scale)):
            view = luma(each)
            for found_before, carriers in zip(clipped, bands, strict=True):
                found_before.append(geometry.blocks(view, carriers.rows, whole))
    for found_before, carriers in zip(clipped, bands, strict=True):
        yield Candidates(carriers, _project(np.concatenate(found_before), carriers))
        places = _undone(views, carriers)
        scaled = (places[:, None] / scales[1:, None]).reshape(-1, carriers.band.bits)
        yield Candidates(carriers, scaled)


def _cropped(grey: Doubles, bands: Sequence[Carriers]) -> Iterator[Candidates]:
    for carriers in bands:
        for windows in geometry.crops(*grey.shape):
            places = _project(geometry.blocks(grey, carriers.rows, windows), carriers)
            yield Candidates(carriers, places)
