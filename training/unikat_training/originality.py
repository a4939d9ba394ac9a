"""The index of training pictures that a bundle carries, calibrated: how near is too near, and how well that tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from unikat.bundle import CARD, MANIFEST, ORIGINALITY, RGBA, Bundle, key_of, read_bundle, write_bundle
from unikat.originality import Calibration, Index
from unikat.originality.descriptor import describe
from unikat.originality.index import QUANTILES
from unikat.originality.search import Search
from unikat.v1.model_pb2 import Metric, Model
from unikat_training.data.dataset import Dataset, Division, Shares
from unikat_training.errors import TrainingError
from unikat_training.evaluation.subject import Subject
from unikat_training.markdown import table
from unikat_training.naming import name_and_version
from unikat_training.planted_copies import DAMAGES, planted

FALSE: Final = 0.0075  # share of held-out pictures that should be nearer than a limit: chance leaves that below 1%
LEAST_HELD: Final = 100  # pictures that have limits of their own: of fewer the nearest hundredth is none
LEAST_ALIKE: Final = 0.25  # grey levels: nothing nearer is another picture
TELLING: Final = "JPEG 75"  # the damage that every copy has to survive
SURVIVED: Final = 0.99  # by this share of its copies
MOST_HELD: Final = 8_000  # pictures that are measured, evenly out of all
FOLDS: Final = 10  # parts of the test pictures, where there are no others to check limits with
COPIES: Final = 400  # training pictures of which damaged copies are looked for
REFUSED, CAUGHT, TWINS = "originality_false_refusals", "originality_copies_caught", "originality_twins"
_CHUNK: Final = 2_048
_BATCH: Final = 8

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Held:
    """Pictures that were held out, and what is known of them.

    A *twin* cannot be told from a damaged copy of a training picture: the same drawing with another mouth of three
    pixels, or the same hand turned. Whether one is refused says nothing of a limit, so the limits leave twins out.
    """

    distances: Floats  # (n,) to the nearest training picture
    labels: Labels  # (n, A)
    alike: float  # the distance below which a picture is a twin

    @property
    def twins(self) -> Chosen:
        """(n,)"""
        return self.distances < self.alike

    def part(self, chosen: Chosen) -> Held:
        """Some of them."""
        return Held(self.distances[chosen], self.labels[chosen], self.alike)


@dataclass(frozen=True)
class Originality:
    """What a bundle gets of it: the index's file, figures, and a section of the card."""

    file: bytes
    metrics: list[Metric]
    section: str  # Markdown


def measured_on(division: Division, subject: Subject, test: Path | None) -> Division:
    """With the data set `test` in the place of what was held out, if one is named.

    Raises DatasetError for what is no data set, TrainingError for one of other attributes or another size.
    """
    if test is None:
        return division
    others = Dataset.load(test)
    return replace(division, test=replace(others, labels=others.labels[:, subject.columns(others)]), validation=None)


def measure_originality(division: Division, has_alpha: bool) -> Originality | None:
    """Index of the training part, with limits from the test part and figures from the validation part.

    `has_alpha`: whether the model's drawings may stand on any background. Where there is no validation part the figures
    are those of the test part. None where fewer than `LEAST_HELD`
    pictures were held out: how near is too near could not be told.
    """
    trained, test = division.trained, division.test
    if test is None or len(test) < LEAST_HELD:
        return None
    descriptors = np.concatenate(
        [
            describe(trained.layers(np.arange(at, min(at + _CHUNK, len(trained)))))
            for at in range(0, len(trained), _CHUNK)
        ]
    )
    search = Search(Index(descriptors, Calibration.none(), has_alpha))
    copies = Copies.of(search, trained)
    held = held_out(search, test, copies.alike)
    calibration = calibrate(trained, held)
    if division.validation is None:
        near = crossed(trained, held)
    else:
        held = held_out(search, division.validation, copies.alike)
        near = nearer(trained, calibration, held)
    file = Index(descriptors, calibration, has_alpha).to_bytes()
    return Originality(file, *told(trained, calibration, (held, near), copies.caught(trained, calibration)))


def held_out(search: Search, part: Dataset, alike: float) -> Held:
    """How near held-out pictures are."""
    chosen = np.linspace(0, len(part) - 1, min(MOST_HELD, len(part))).astype(np.int64)
    distances = search_all(search, [part.pixels(chosen[i : i + 1])[0] for i in range(len(chosen))])[0]
    return Held(distances, part.labels[chosen], alike)


def search_all(search: Search, pictures: Sequence[npt.NDArray[np.uint8]]) -> tuple[Floats, Labels]:
    """Distances and numbers of the nearest training pictures, of pictures (H, W, 3) of one size."""
    batches = [np.stack(pictures[at : at + _BATCH]) for at in range(0, len(pictures), _BATCH)]
    distances, nearest = zip(*map(search.nearest, batches), strict=True)
    return np.concatenate(distances), np.concatenate(nearest)


def calibrate(trained: Dataset, held: Held) -> Calibration:
    """Limits and distances of the categories of one attribute: the one that tells most of how near pictures are."""
    tables, limits, rows, attribute = [quantiles(held.distances)], [limit_of(held)], {}, ""
    if trained.attributes:
        column = max(range(len(trained.attributes)), key=lambda each: explained(held.distances, held.labels[:, each]))
        attribute = trained.attributes[column].name
        for number, category in enumerate(trained.attributes[column].categories):
            own = held.part(held.labels[:, column] == number)
            if (~own.twins).sum() >= LEAST_HELD:
                rows[category] = len(tables)
                tables.append(quantiles(own.distances))
                limits.append(limit_of(own))
    return Calibration(attribute, rows, np.stack(tables), np.array(limits, np.float32))


def crossed(trained: Dataset, held: Held) -> Chosen:
    """(n,) which are nearer than the limits that the others of them give: every tenth is judged by nine tenths."""
    fold = np.arange(len(held.distances)) % FOLDS
    near = np.zeros(len(fold), dtype=np.bool_)
    for own in (fold == number for number in range(FOLDS)):
        near[own] = nearer(trained, calibrate(trained, held.part(~own)), held.part(own))
    return near


def nearer(trained: Dataset, calibration: Calibration, held: Held) -> Chosen:
    """(n,) which are nearer than the limits."""
    found: Chosen = held.distances < calibration.limits[rows_of(trained, calibration, held.labels)]
    return found


def explained(distances: Floats, labels: Labels) -> float:
    """Variance between the categories, of distances (n,) with labels (n,)."""
    sizes = np.bincount(labels)
    means = np.bincount(labels, weights=distances) / np.maximum(sizes, 1)
    return float((sizes * (means - distances.mean()) ** 2).sum() / len(distances))


def quantiles(distances: Floats) -> Floats:
    """(QUANTILES,) of the distances, ascending."""
    places = (np.arange(QUANTILES) * len(distances)) // QUANTILES
    found: Floats = np.sort(distances)[places]
    return found


def limit_of(held: Held) -> float:
    """What the distance of another picture without a twin is below with probability `FALSE`, at most if there are many.

    Of n distances in order, the k-th has k of n + 1 others below it on average (split conformal prediction).
    """
    others = np.sort(held.distances[~held.twins])
    return float(others[max(0, int((len(others) + 1) * FALSE) - 1)]) if len(others) else held.alike


def rows_of(trained: Dataset, calibration: Calibration, labels: Labels) -> Labels:
    """(n,) the calibration's row of each picture with labels (n, A)."""
    if not calibration.attribute:
        return np.zeros(len(labels), np.int64)
    column = [each.name for each in trained.attributes].index(calibration.attribute)
    rows = np.array([calibration.rows.get(each, 0) for each in trained.attributes[column].categories])
    found: Labels = rows[labels[:, column]]
    return found


@dataclass(frozen=True)
class Copies:
    """Damaged copies of training pictures: how far from any of these they are."""

    labels: Labels  # (n, A)
    distances: dict[str, Floats]  # damage -> (n,)

    @classmethod
    def of(cls, search: Search, trained: Dataset) -> Copies:
        """Of pictures evenly out of all."""
        chosen = np.linspace(0, len(trained) - 1, min(COPIES, len(trained))).astype(np.int64)
        pictures = trained.pixels(chosen)
        found = {damage: search_all(search, planted(pictures, damage))[0] for damage in DAMAGES}
        return cls(trained.labels[chosen], found)

    @property
    def alike(self) -> float:
        """What is nearer than this cannot be told from a copy: 99% of the JPEG copies are."""
        return max(LEAST_ALIKE, float(np.quantile(self.distances[TELLING], SURVIVED)))

    def caught(self, trained: Dataset, calibration: Calibration) -> dict[str, float]:
        """Damage -> share of the copies that are nearer than the limit of their conditions."""
        limits = calibration.limits[rows_of(trained, calibration, self.labels)]
        return {damage: float((distances < limits).mean()) for damage, distances in self.distances.items()}


def told(
    trained: Dataset, calibration: Calibration, checked: tuple[Held, Chosen], copies: dict[str, float]
) -> tuple[list[Metric], str]:
    """Figures, and the section of the card. `checked`: held-out pictures, and which of them are near."""
    held, near = checked
    others, twins = ~held.twins, float(held.twins.mean())
    rows = rows_of(trained, calibration, held.labels)
    refused, caught = share(near[others]), float(np.mean(list(copies.values())))
    metrics = [
        Metric(name=REFUSED, value=refused, description=f"share of {others.sum():,} held-out pictures without a twin"),
        Metric(name=TWINS, value=twins, description=f"share of {len(near):,} held-out pictures that have one"),
        Metric(
            name=CAUGHT, value=caught, description=f"share of damaged training pictures found, {len(copies)} damages"
        ),
    ]
    names = {0: "all others" if calibration.rows else "all", **{row: name for name, row in calibration.rows.items()}}
    limits = [
        (
            name,
            f"{calibration.limits[row]:.2f}",
            percent(near[others & (rows == row)]),
            percent(held.twins[rows == row]),
        )
        for row, name in sorted(names.items())
    ]
    found = [(damage, f"{part:.1%}") for damage, part in copies.items()]
    section = f"""## Originality

`{ORIGINALITY}` describes the {len(trained):,} training pictures. A drawing nearer to one of them
than a limit counts as a near copy. Of pictures that were held out, {twins:.2%} have a *twin* among the training
pictures: they are nearer than {held.alike:.2f}, as 99% of the copies with {TELLING} are, and are refused as copies are.
The limits follow from the others, of which {refused:.2%} are refused. Of damaged copies of training pictures
{caught:.1%} are found.

{table((calibration.attribute or "pictures", "limit", "held out, no twin: refused", "held out: have a twin"), limits)}

{table(("copies", "found"), found)}"""
    return metrics, section


def share(chosen: Chosen) -> float:
    """Of true ones; 0 of none."""
    return float(chosen.mean()) if len(chosen) else 0.0


def percent(chosen: Chosen) -> str:
    """The same, for a table."""
    return f"{share(chosen):.1%}" if len(chosen) else "–"


def add_originality(source: Path, dataset: Path | None, out: Path, test: Path | None = None) -> Bundle:
    """The bundle `source` once more as `out`, a later version, with an index of the pictures it was trained on.

    `test` is a data set of others to set the limits with, in the place of what was held out. Raises TrainingError for
    no or another data set, one of which too little was held out, and a version that is there;
    BundleError for a bundle that cannot be read.
    """
    if dataset is None:
        raise TrainingError("--dataset: must name the data set that the bundle was trained on")
    name, version = name_and_version(out)
    bundle = read_bundle(source)
    bundle.verify()
    data = Dataset.load(dataset)
    if data.digest != bundle.model.training.data_digest:
        raise TrainingError(
            f"--dataset: {dataset} is not what {source} was trained on ({bundle.model.training.data_set})"
        )
    division = data.split(Shares.of(json.loads(bundle.model.training.config)))
    division = measured_on(division, Subject(bundle.graph, bundle.model), test)
    found = measure_originality(division, bundle.model.channels == RGBA)
    if found is None:
        raise TrainingError(
            f"--dataset: fewer than {LEAST_HELD} pictures of {dataset} were held out; name others with --test"
        )
    model = Model()
    model.CopyFrom(bundle.model)
    model.name, model.version = name, version
    kept = [metric for metric in model.metrics if metric.name not in (REFUSED, CAUGHT, TWINS)]
    del model.metrics[:]
    model.metrics.extend([*kept, *found.metrics])
    files: dict[str, Path | bytes] = {
        file.path: source / file.path for file in model.files if (source / file.path).is_file()
    }
    card = (source / CARD).read_text(encoding="utf-8").split("\n## Originality\n")[0].rstrip("\n")
    heading = f"# {name}, version {version}"
    if key_of(model) != key_of(bundle.model):
        heading += f"\n\nThe graph is that of {key_of(bundle.model)} (`{bundle.model.digest}`)."
    body = card.split("\n", 1)[1] if card.startswith("# ") else f"\n{card}"
    files |= {CARD: f"{heading}\n{body}\n\n{found.section}\n".encode(), ORIGINALITY: found.file}
    files.pop(MANIFEST, None)
    return write_bundle(out, model, files)
