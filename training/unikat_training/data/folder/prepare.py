"""People's own pictures from a listing to labelled squares."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

from unikat_training.data.build import Picture, Recipe
from unikat_training.data.dataset import Attribute, Source
from unikat_training.data.folder.archives import Place
from unikat_training.data.folder.container import MAX_PICTURE, display
from unikat_training.data.folder.layout import list_pictures
from unikat_training.data.folder.listing import Listing
from unikat_training.data.folder.options import AUTO, KEEP, Channels, FolderOptions
from unikat_training.data.formats import suffix
from unikat_training.data.memory import UnsafePictureError
from unikat_training.data.parallel import map_in_order
from unikat_training.data.pictures import (
    WHITE,
    BrokenPictureError,
    Colour,
    Fit,
    OtherFormatError,
    decode,
    fingerprint,
    fit,
)
from unikat_training.data.report import Problem
from unikat_training.errors import DatasetError

UNSPECIFIED = "unspecified"
# An SPDX expression's shape; LicenseRef-… is SPDX's own way to name what is not on its list.
SPDX = re.compile(r"\(*[A-Za-z0-9.+-]+\)*( (AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*")
BACKGROUNDS: Final = (WHITE, (0, 0, 0), (128, 128, 128))  # tried in this order
SEEN: Final = 16  # grey levels; what differs less from its background cannot be seen
CLEAR: Final = 0.05  # of a picture's pixels: with so many less than half covered, it is transparent in part
MANY: Final = 0.5  # of the pictures: with so many transparent ones, alpha is kept
_TRIED: Final = 100  # pictures, evenly spread, by which channels and background are chosen
_OPAQUE: Final = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".ppm", ".pgm", ".pbm", ".pnm"))


@dataclass(frozen=True)
class FolderPlan:
    """Which pictures become which data set."""

    path: Path
    name: str
    size: int  # pixels a side
    options: FolderOptions = field(default_factory=FolderOptions)
    licence: str = UNSPECIFIED
    credit: str = ""


@dataclass(frozen=True)
class Shape:
    """What pictures are fitted to: a side in pixels, how, and a background (None: nothing, alpha is kept)."""

    size: int
    how: Fit = "crop"
    background: Colour | None = WHITE


@dataclass(frozen=True)
class Job:
    """One file to decode, and what to make of it."""

    place: Place
    name: str
    labels: tuple[str, ...]
    shape: Shape


def read_folder(plan: FolderPlan, processes: int) -> tuple[Recipe, Iterator[Picture | Problem], int]:
    """What the data set is, its pictures as they are decoded, and their number with everything that is none.

    Raises DatasetError for what cannot be used.
    """
    listing = list_pictures(plan.path, plan.options)
    shape = shape_of(listing, plan.size, plan.options)
    recipe = _recipe(plan, listing, shape)
    return recipe, _pictures(listing, shape, processes), len(listing.items) + len(listing.problems)


def _recipe(plan: FolderPlan, listing: Listing, shape: Shape) -> Recipe:
    licence, credit = plan.licence, plan.credit
    if not SPDX.fullmatch(licence):
        raise DatasetError(f"--licence {licence!r}: not an SPDX expression such as CC0-1.0, MIT or LicenseRef-mine")
    warnings = list(listing.warnings)
    if licence == UNSPECIFIED:
        warnings.append(
            "--licence is not given: nobody can tell what a model trained on these pictures may be used for"
        )
    elif "CC-BY" in licence and not credit:
        warnings.append(f"--credit is not given, and {licence} asks for it")
    source = Source(
        plan.name, f"file:{display(os.path.basename(os.path.abspath(listing.container.path)))}", licence, credit
    )
    return Recipe(
        plan.name,
        shape.size,
        tuple(Attribute(attribute) for attribute in listing.attributes),
        (source,),
        tuple(warnings),
        channels=4 if shape.background is None else 3,
        notes=tuple(dict.fromkeys(listing.notes)),
        litter=dict(listing.container.litter),
    )


def shape_of(listing: Listing, size: int, options: FolderOptions) -> Shape:
    """What the pictures are fitted to; channels and a background that are not given are chosen by looking at some.

    Raises DatasetError for a background that is no colour, and one that contradicts the channels.
    """
    asked, background = options.channels, options.background
    if background not in (AUTO, KEEP):
        if asked == "rgba":
            raise DatasetError(f"--background {background}: --channels rgba keeps alpha, so nothing is behind it")
        return Shape(size, options.fit, _colour(background))
    if background == KEEP and asked == "rgb":
        raise DatasetError("--background keep: keeps alpha, and --channels rgb does not")
    tried = _try_some(listing, options.fit)
    behind, note = tried.background("rgba" if background == KEEP else asked)
    listing.notes += [note] if note else []
    return Shape(size, options.fit, behind)


def _colour(name: str) -> Colour:
    try:
        red, green, blue, *_ = ImageColor.getrgb(name)
    except ValueError as error:
        raise DatasetError(f"--background {name}: must be keep, auto, or a colour such as white or #808080") from error
    return red, green, blue


@dataclass(frozen=True)
class Tried:
    """What is known of the pictures by looking at some of those that may have alpha."""

    count: int  # of those that were looked at
    clear: int  # of them are transparent in part
    unseen: Mapping[Colour, int]  # do not show on a background
    share: float  # of all pictures may have alpha

    def background(self, channels: Channels) -> tuple[Colour | None, str]:
        """What the pictures are shown on, None where alpha is kept, and what is said of it."""
        some, hidden = f"of {self.count} pictures that were tried", self.unseen[WHITE]
        transparent = f"since {self.clear} {some} are transparent in part"
        best = min(BACKGROUNDS, key=lambda colour: self.unseen[colour])
        if hidden > self.count / 10 and channels == "rgba":
            return None, f"{hidden} {some} do not show on white, on which a model with alpha is measured"
        if hidden > self.count / 10 and best != WHITE:
            note = f"background: #{bytes(best).hex()}, since {hidden} {some} do not show on white; "
            return best, note + "--background takes another colour, --channels rgba keeps alpha"
        if channels == "auto" and self.clear and self.clear * self.share >= MANY * self.count:
            return None, f"channels: rgba, {transparent}; --channels rgb shows them on a colour"
        if channels == "auto" and self.clear:
            return WHITE, f"channels: rgb, {transparent}, fewer than half of all; --channels rgba keeps alpha"
        return None if channels == "rgba" else WHITE, ""


def _try_some(listing: Listing, how: Fit) -> Tried:
    may_have = [job for job in _jobs(listing, Shape(64, how, None)) if suffix(job.name) not in _OPAQUE]
    decoded = [_decode(job) for job in may_have[:: -(-len(may_have) // _TRIED) or 1]]
    tried = [each.pixels for each in decoded if isinstance(each, Picture)]
    clear = sum((pixels[..., 3] < 128).mean() >= CLEAR for pixels in tried)
    unseen = {colour: sum(_is_unseen(pixels, colour) for pixels in tried) for colour in BACKGROUNDS}
    return Tried(len(tried), int(clear), unseen, len(may_have) / max(1, len(listing.items)))


def _is_unseen(pixels: npt.NDArray[np.uint8], background: Colour) -> bool:
    """True of a picture (H, W, 4) that is transparent somewhere, and like the background elsewhere."""
    difference = np.abs(pixels[..., :3].astype(np.int16) - background) * (pixels[..., 3:] / 255)
    return bool(pixels[..., 3].min() < 255 and difference.max() < SEEN)


def _pictures(listing: Listing, shape: Shape, processes: int) -> Iterator[Picture | Problem]:
    """Decodes and fits everything that is listed, in its order."""
    yield from listing.problems
    yield from map_in_order(_decode, _jobs(listing, shape), processes)


def _jobs(listing: Listing, shape: Shape) -> Iterator[Job]:
    for file, labels in listing.items:
        yield Job(listing.container.files[file], display(file), labels, shape)


def _decode(job: Job) -> Picture | Problem:
    try:
        content = job.place.read(MAX_PICTURE + 1)
        if len(content) > MAX_PICTURE:
            raise UnsafePictureError(f"more than {MAX_PICTURE} bytes")
        image = decode(content)
    except UnsafePictureError as error:
        return Problem("unsafe", job.name, str(error))
    except OtherFormatError as error:
        return Problem("unreadable format", job.name, str(error))
    except (BrokenPictureError, ValueError) as error:
        return Problem("broken", job.name, str(error))
    except OSError as error:
        return Problem("broken", job.name, error.strerror or str(error))
    shape = job.shape
    pixels = fit(image, shape.size, shape.how, shape.background)
    seen = pixels[..., 3:] if shape.background is None else np.abs(pixels.astype(np.int16) - shape.background)
    if image.mode == "RGBA" and seen.max() < SEEN:
        return Problem("invisible", job.name, "it is transparent, or of the background's colour")
    return Picture(job.name, job.labels, pixels, fingerprint(image), image.size)
