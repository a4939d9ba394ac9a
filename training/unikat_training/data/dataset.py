"""A prepared data set on disk: `images.npy` (uint8, N x H x W x 3 or 4) beside `dataset.json`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unikat.bundle import ATTRIBUTE_NAME, UNTYPABLE, digest_of
from unikat.pictures import on_white
from unikat.v1 import model_pb2
from unikat_training.data import fields
from unikat_training.data.split import LEAST_VALIDATION, Chosen, places, unseen_rows
from unikat_training.data.split import Shares as Shares
from unikat_training.errors import DatasetError

FORMAT = 1
IMAGES = "images.npy"
METADATA = "dataset.json"


@dataclass(frozen=True)
class Attribute:
    """One labelled property of every image; `counts[i]` images carry `categories[i]`."""

    name: str
    description: str = ""
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def counted(self) -> dict[str, int]:
        """Category -> images."""
        return dict(zip(self.categories, self.counts, strict=True))

    def message(self) -> model_pb2.Attribute:
        """As the manifest of a bundle has it."""
        categories = [model_pb2.Category(name=name, count=count) for name, count in self.counted.items()]
        return model_pb2.Attribute(name=self.name, description=self.description, categories=categories)


@dataclass(frozen=True)
class Source:
    """Where images come from. `origin` is a package or an URL, `licence` an SPDX expression."""

    name: str
    origin: str
    licence: str
    credit: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set that was checked while it was loaded, or a part of one. Without attributes it is a plain one."""

    path: Path
    name: str
    images: npt.NDArray[np.uint8]  # (M, H, W, 3 or 4), memory-mapped, read-only: all that are in the file
    rows: npt.NDArray[np.int64]  # (N,), which of them belong to it
    labels: npt.NDArray[np.int64]  # (N, A), indices into each attribute's categories
    attributes: tuple[Attribute, ...]
    sources: tuple[Source, ...]
    items: tuple[str, ...]  # one name an image
    digest: str  # of images.npy, "sha256:<hex>"

    @property
    def resolution(self) -> int:
        """Height and width of every image, in pixels."""
        return int(self.images.shape[1])

    @property
    def channels(self) -> int:
        """3, or 4 with alpha."""
        return int(self.images.shape[3])

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Images (n, H, W, 3) by their positions in this data set; with alpha, on white."""
        return on_white(self.layers(indices))

    def layers(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """The same as they are stored, (n, H, W, 3 or 4)."""
        return np.ascontiguousarray(self.images[self.rows[indices]])

    def part(self, chosen: npt.NDArray[np.bool_]) -> Dataset:
        """The images for which `chosen` (N,) is true. Raises DatasetError when nothing is left.

        The attributes keep their categories, whatever is left of them.
        """
        if not chosen.any():
            raise DatasetError(f"{self.path}: nothing is left of {len(self)} images")
        labels = self.labels[chosen]
        attributes = tuple(
            replace(a, counts=tuple(np.bincount(labels[:, i], minlength=len(a.categories)).tolist()))
            for i, a in enumerate(self.attributes)
        )
        items = tuple(item for item, keep in zip(self.items, chosen, strict=True) if keep)
        return replace(self, rows=self.rows[chosen], labels=labels, attributes=attributes, items=items)

    def split(self, shares: Shares) -> Division:
        """What is trained on, and what is kept from it. Raises DatasetError for an unknown attribute.

        No category is held out as a whole: nothing could be learnt of it. A small data set has no validation part.
        """
        place, unseen = places(self.items, shares.together), self._unseen(shares)
        out = (place < shares.test + shares.validation) & ~unseen
        if (out & (place >= shares.test)).sum() < LEAST_VALIDATION:
            out &= place < shares.test
        for column, attribute in enumerate(self.attributes):
            left = np.bincount(self.labels[~out & ~unseen, column], minlength=len(attribute.categories))
            out &= left[self.labels[:, column]] > 0
        kept = (out & (place >= shares.test), out & (place < shares.test), unseen)
        return Division(self.part(~out & ~unseen), *(self.part(each) if each.any() else None for each in kept))

    def _unseen(self, shares: Shares) -> Chosen:
        names = [attribute.name for attribute in self.attributes]
        unknown = sorted(set(shares.unseen_over) - set(names))
        if unknown:
            raise DatasetError(f"unseen_over: {unknown} not among the data set's attributes {names}")
        if not shares.unseen or not names:
            return np.zeros(len(self), dtype=np.bool_)
        columns = [names.index(name) for name in shares.unseen_over or names]
        return unseen_rows(self.labels[:, columns], [self.attributes[i].categories for i in columns], shares.unseen)

    def one_hots(self) -> npt.NDArray[np.float32]:
        """The conditions as (N, C): the one-hot vectors of all attributes side by side; C is 0 for a plain set."""
        blocks = [np.eye(len(a.categories), dtype=np.float32)[self.labels[:, i]] for i, a in enumerate(self.attributes)]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(self), 0), dtype=np.float32)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Dataset:
        """Reads the data set in folder `path`; `verify` compares the digest of the images (~1 s for 500 MB).

        Raises DatasetError when a file is missing, unreadable, of a newer format or not what its description says.
        """
        path = Path(path)
        document = _read_metadata(path)
        digest = _images_digest(document, path / IMAGES, verify)
        images = _open_images(path / IMAGES, document)
        labels, attributes = _labels_and_attributes(document, len(images))
        return cls(
            path=path,
            name=fields.get(document, "name", str),
            images=images,
            rows=np.arange(len(images)),
            labels=labels,
            attributes=attributes,
            sources=tuple(_source(s, f"sources[{i}]") for i, s in enumerate(fields.get(document, "sources", list))),
            items=_items(document, len(images)),
            digest=digest,
        )


@dataclass(frozen=True)
class Division:
    """The parts of a data set; None where there is nothing."""

    trained: Dataset
    validation: Dataset | None  # for decisions during a run, such as which checkpoint is the best
    test: Dataset | None  # for figures of a finished model
    unseen: Dataset | None  # combinations that are not trained on


def _read_metadata(path: Path) -> fields.Object:
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder; `unikat prepare` makes a data set")
    document = fields.read_object(path / METADATA)
    version = fields.get(document, "format", int)
    if version > FORMAT:
        raise DatasetError(
            f"{path / METADATA}: format {version} is newer than this program's {FORMAT}; update Unikat or prepare again"
        )
    if version != FORMAT:
        raise DatasetError(f"{path / METADATA}: format {version} is unknown; this program reads {FORMAT}")
    return document


def _images_digest(document: fields.Object, file: Path, verify: bool) -> str:
    digest = fields.get(fields.get(document, "digests", dict), IMAGES, str, "digests.")
    if not digest.startswith("sha256:"):
        raise DatasetError(f"{METADATA}: digests.{IMAGES} is {digest!r}; expected sha256:<hex>")
    if not file.is_file():
        raise DatasetError(f"{file}: missing; prepare the data set again")
    if verify and (actual := digest_of(file)) != digest:
        raise DatasetError(
            f"{file}: digest {actual} is not {digest} of {METADATA}: the file was changed or cut short; prepare again"
        )
    return digest


def _open_images(file: Path, document: fields.Object) -> npt.NDArray[np.uint8]:
    try:
        images: npt.NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DatasetError(f"{file}: not a NumPy array file: {error}") from error
    count, resolution = fields.get(document, "count", int), fields.get(document, "resolution", int)
    channels = fields.get(document, "channels", int) if "channels" in document else 3  # older ones have no alpha
    if channels not in (3, 4):
        raise DatasetError(f"{METADATA}: channels is {channels}; expected 3, or 4 with alpha")
    expected = (count, resolution, resolution, channels)
    if images.dtype != np.uint8 or images.shape != expected:
        raise DatasetError(f"{file}: holds {images.dtype}{images.shape}; {METADATA} says uint8{expected}")
    if count < 1:
        raise DatasetError(f"{file}: holds no images")
    return images


def _labels_and_attributes(document: fields.Object, count: int) -> tuple[npt.NDArray[np.int64], tuple[Attribute, ...]]:
    rows = fields.get(document, "attributes", list)
    attributes = tuple(_attribute(row, f"attributes[{i}]") for i, row in enumerate(rows))
    if len(set(names := [a.name for a in attributes])) != len(names):
        raise DatasetError(f"{METADATA}: attribute names must differ; they are {names}")
    labels = _labels(document, count, len(attributes))
    for column, attribute in enumerate(attributes):
        _check_labels(labels[:, column], attribute)
    return labels, attributes


def _attribute(value: object, where: str) -> Attribute:
    row = fields.checked(value, dict, where)
    categories = [
        fields.checked(c, dict, f"{where}.categories") for c in fields.get(row, "categories", list, f"{where}.")
    ]
    attribute = Attribute(
        name=fields.get(row, "name", str, f"{where}."),
        description=fields.get(row, "description", str, f"{where}."),
        categories=tuple(fields.get(c, "name", str, f"{where}.categories.") for c in categories),
        counts=tuple(fields.get(c, "count", int, f"{where}.categories.") for c in categories),
    )
    # Here and not at the end of a training, where nobody could take such a name any more.
    if not ATTRIBUTE_NAME.fullmatch(attribute.name):
        raise DatasetError(f"{METADATA}: {where}.name must match {ATTRIBUTE_NAME.pattern}, not {attribute.name!r}")
    untypable = [category for category in attribute.categories if UNTYPABLE.search(category)]
    if untypable:
        raise DatasetError(f"{METADATA}: {where}.categories: {untypable[0]!r} cannot be typed (no '=', ',' or ':')")
    if not categories or len(set(attribute.categories)) != len(categories):
        raise DatasetError(f"{METADATA}: {where}.categories must be at least one name, all different")
    return attribute


def _labels(document: fields.Object, count: int, width: int) -> npt.NDArray[np.int64]:
    rows = fields.get(document, "labels", list)
    if len(rows) != count:
        raise DatasetError(f"{METADATA}: labels has {len(rows)} rows for {count} images")
    for index, row in enumerate(rows):
        # bool is an int in Python; in a label it is a mistake.
        if not isinstance(row, list) or len(row) != width or any(type(v) is not int for v in row):
            raise DatasetError(f"{METADATA}: labels[{index}] is {row!r}; expected {width} integers, one an attribute")
    try:
        return np.array(rows, dtype=np.int64).reshape(count, width)
    except OverflowError as error:
        raise DatasetError(f"{METADATA}: labels hold a number beyond 64 bits") from error


def _check_labels(column: npt.NDArray[np.int64], attribute: Attribute) -> None:
    size = len(attribute.categories)
    outside = np.flatnonzero((column < 0) | (column >= size))
    if len(outside):
        index = int(outside[0])
        raise DatasetError(
            f"{METADATA}: labels[{index}] has {attribute.name} {column[index]}; allowed is 0 to {size - 1} "
            f"({len(outside)} such labels)"
        )
    counted = tuple(int(n) for n in np.bincount(column, minlength=size))
    if counted != attribute.counts:
        raise DatasetError(f"{METADATA}: counts of {attribute.name} are {attribute.counts}; its labels say {counted}")


def _source(value: object, where: str) -> Source:
    row = fields.checked(value, dict, where)
    origin = "package" if "package" in row else "url"
    return Source(*(fields.get(row, key, str, f"{where}.") for key in ("name", origin, "licence", "credit")))


def _items(document: fields.Object, count: int) -> tuple[str, ...]:
    rows = fields.get(document, "items", list)
    names = [row for row in rows if isinstance(row, str)]
    if len(names) != len(rows) or len(rows) != count:
        raise DatasetError(f"{METADATA}: items must be {count} names, one an image; there are {len(names)}")
    return tuple(names)
