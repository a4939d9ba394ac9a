"""People's own pictures from a listing to labelled squares."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ImageColor

from unikat_training.data.build import Picture, Recipe
from unikat_training.data.dataset import Attribute, Source
from unikat_training.data.folder.container import Place, display
from unikat_training.data.folder.layout import list_pictures
from unikat_training.data.folder.listing import Listing
from unikat_training.data.folder.options import AUTO, KEEP, FolderOptions
from unikat_training.data.formats import suffix
from unikat_training.data.parallel import map_in_order
from unikat_training.data.pictures import (
    WHITE,
    BrokenPictureError,
    Colour,
    Fit,
    OtherFormatError,
    UnsafePictureError,
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
_TRIED: Final = 100  # pictures, evenly spread, by which a background is chosen
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
    """What the pictures are fitted to; a background that is not given is chosen by looking at some of them.

    Raises DatasetError for a background that is no colour.
    """
    if options.background == KEEP:
        return Shape(size, options.fit, None)
    if options.background != AUTO:
        try:
            red, green, blue, *_ = ImageColor.getrgb(options.background)
        except ValueError as error:
            raise DatasetError(
                f"--background {options.background}: must be keep, auto, or a colour such as white or #808080"
            ) from error
        return Shape(size, options.fit, (red, green, blue))
    shape = Shape(size, options.fit)
    jobs = [job for job in _jobs(listing, shape) if suffix(job.name) not in _OPAQUE]
    jobs = jobs[:: -(-len(jobs) // _TRIED) or 1]
    unseen = {colour: sum(_is_unseen(job, colour) for job in jobs) for colour in BACKGROUNDS}
    best = min(BACKGROUNDS, key=lambda colour: unseen[colour])
    if unseen[WHITE] > len(jobs) / 10 and best != WHITE:
        listing.notes.append(
            f"background: #{bytes(best).hex()}, since {unseen[WHITE]} of {len(jobs)} pictures that were tried do not "
            "show on white; --background takes another colour, or keeps alpha"
        )
        return replace(shape, background=best)
    return shape


def _pictures(listing: Listing, shape: Shape, processes: int) -> Iterator[Picture | Problem]:
    """Decodes and fits everything that is listed, in its order."""
    yield from listing.problems
    yield from map_in_order(_decode, _jobs(listing, shape), processes)


def _jobs(listing: Listing, shape: Shape) -> Iterator[Job]:
    for file, labels in listing.items:
        yield Job(listing.container.files[file], display(file), labels, shape)


def _is_unseen(job: Job, background: Colour) -> bool:
    picture = _decode(replace(job, shape=replace(job.shape, size=64, background=background)))
    return isinstance(picture, Problem) and picture.kind == "invisible"


def _decode(job: Job) -> Picture | Problem:
    try:
        image = decode(job.place.read())
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
