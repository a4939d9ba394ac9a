"""People's own pictures from a listing to labelled squares."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unikat_training.data.build import AttributePlan, Picture, Recipe
from unikat_training.data.dataset import Source
from unikat_training.data.fields import DatasetError
from unikat_training.data.folder.container import display, read_member
from unikat_training.data.folder.layout import Listing
from unikat_training.data.parallel import map_in_order
from unikat_training.data.pictures import BrokenPictureError, Fit, UnsafePictureError, decode, fingerprint, fit
from unikat_training.data.report import Problem

UNSPECIFIED = "unspecified"
# An SPDX expression's shape; LicenseRef-… is SPDX's own way to name what is not on its list.
SPDX = re.compile(r"\(*[A-Za-z0-9.+-]+\)*( (AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*")


@dataclass(frozen=True)
class Job:
    """One file to decode, and what to make of it."""

    path: Path
    file: str
    labels: tuple[str, ...]
    size: int
    how: Fit


def folder_recipe(name: str, listing: Listing, size: int, licence: str, credit: str) -> Recipe:
    """What the data set is, apart from its pictures. Raises DatasetError for a licence that is none."""
    if not SPDX.fullmatch(licence):
        raise DatasetError(f"--licence {licence!r}: not an SPDX expression such as CC0-1.0, MIT or LicenseRef-mine")
    warnings = list(listing.warnings)
    if licence == UNSPECIFIED:
        warnings.append(
            "--licence is not given: nobody can tell what a model trained on these pictures may be used for"
        )
    elif "CC-BY" in licence and not credit:
        warnings.append(f"--credit is not given, and {licence} asks for it")
    source = Source(name, f"file:{display(os.path.basename(os.path.abspath(listing.path)))}", licence, credit)
    attributes = tuple(AttributePlan(attribute) for attribute in listing.attributes)
    return Recipe(name, size, attributes, (source,), tuple(warnings))


def folder_pictures(listing: Listing, size: int, how: Fit, processes: int) -> Iterator[Picture | Problem]:
    """Decodes and fits everything that is listed, in its order."""
    yield from listing.problems
    jobs = (Job(listing.path, file, labels, size, how) for file, labels in listing.items)
    yield from map_in_order(_decode, jobs, processes)


def _decode(job: Job) -> Picture | Problem:
    name = display(job.file)
    try:
        image = decode(read_member(job.path, job.file))
    except UnsafePictureError as error:
        return Problem("unsafe", name, str(error))
    except (BrokenPictureError, ValueError) as error:
        return Problem("broken", name, str(error))
    except OSError as error:
        return Problem("broken", name, error.strerror or str(error))
    return Picture(name, job.labels, fit(image, job.size, job.how), fingerprint(image))
