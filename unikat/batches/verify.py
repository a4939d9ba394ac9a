"""A batch's files against its manifest: everything is read again, and nothing is written."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unikat.artwork import Renderer
from unikat.batches.checks import TOPS, FileChecks, FolderChecks, Problem
from unikat.batches.credentials import CredentialsChecks
from unikat.batches.layout import CLAIM, MANIFEST, MEDIA_TYPES, PARTS, RECIPE, SHEET, Row, common_of, parse_conditions
from unikat.batches.manifest import REFUSED
from unikat.batches.parquet import open_parquet
from unikat.batches.spec import Common
from unikat.batches.storage import DamagedFile, Storage
from unikat.batches.storage_keys import NO_KEYS, NoKey, StorageKeys, key_id_of
from unikat.conditions import Weights

PROBLEMS_SHOWN: Final = 100
_ROWS_AT_ONCE: Final = 512
_LARGEST: Final = 2**31  # bytes of an image
_COLUMNS: Final = (
    "id", "index", "file", "offset", "size", "sha256", "seed", "truncation", "model", "model_digest", "media_type",
)  # fmt: skip
_FILE: Final = re.compile(r"images/[0-9]{5,}/[0-9]{7,}\.(png|webp|jpg)|shards/[0-9]{5,}\.tar")


class NotABatch(Exception):
    """There is no manifest; the message says where it was looked for and what to do."""


@dataclass
class Report:
    """What was found. `problems` holds the first ones, `problem_count` counts all.

    `total`: images that the batch was to have, None if it never ended. `missing`: the indexes without a row in the
    manifest, as ranges: a batch that failed in part or was cancelled is incomplete, and that is no damage. `extra`:
    files that the manifest does not name, at most as many as problems are shown; `extra_count` counts all.
    `encryption_key` is that of the files, "" for none. `refused_count`: images that have a row and no file.
    """

    url: str
    total: int | None
    rows: int
    checked: int = 0
    bytes_read: int = 0
    problem_count: int = 0
    extra_count: int = 0
    refused_count: int = 0
    problems: list[Problem] = field(default_factory=list)
    missing: list[range] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    encryption_key: str = ""

    @property
    def missing_count(self) -> int:
        """Images without a row in the manifest."""
        return sum(map(len, self.missing))

    @property
    def is_intact(self) -> bool:
        """Whether all that the manifest names is there, byte for byte."""
        return self.problem_count == 0

    @property
    def is_complete(self) -> bool:
        """Whether it is intact and no image is missing."""
        return self.is_intact and not self.missing and self.total is not None

    def add(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_SHOWN:
            self.problems.append(problem)

    def add_extra(self, name: str) -> None:
        self.extra_count += 1
        if len(self.extra) < PROBLEMS_SHOWN:
            self.extra.append(name)


@dataclass(frozen=True)
class Picked(Common):
    """An image of the manifest, the file that it is in, and all that is needed to draw it again."""

    index: int
    attempt: int
    id: str
    weights: Weights
    sha256: str
    renderer: Renderer
    data: bytes = field(repr=False)
    recipe: str = ""
    file: str = ""


def verify(
    where: str, progress: Callable[[int, int], None] = lambda checked, rows: None, keys: StorageKeys = NO_KEYS
) -> Report:
    """Check a destination, a folder or a URL; `progress` is told how many images of how many are checked.

    Raises NotABatch, ValueError for what is neither folder nor URL, DestinationError and DestinationRefused, of which
    is NoKey: without the key of an encrypted batch nothing can be checked but which files there are.
    """
    storage, key_id = storage_of(where, keys)
    with _opened(storage) as manifest:
        claim = _claim(storage)
        total = claim.get("total")
        report = Report(storage.url, total if isinstance(total, int) else None, manifest.metadata.num_rows)
        report.encryption_key = key_id
        if not claim:
            report.add(Problem("missing", CLAIM, None, "is missing, or not readable"))
        if _delivered(manifest):
            _check_sheet(storage, report)
        _check_rows(storage, manifest, claim, report, progress)
    return report


def _check_sheet(storage: Storage, report: Report) -> None:
    try:
        storage.read(SHEET)
    except FileNotFoundError:
        report.add(Problem("missing", SHEET, None, "is missing"))
    except DamagedFile as damaged:
        report.add(Problem("differs", SHEET, None, str(damaged)))


def pick(where: str, count: int, seed: int, keys: StorageKeys = NO_KEYS) -> list[Picked]:
    """`count` images at random, fewer if there are fewer, in the order of their indexes; raises as `verify` does.

    `seed` chooses which. Raises FileNotFoundError if the file of one is missing, DamagedFile if it cannot be decrypted.
    """
    storage, _ = storage_of(where, keys)
    with _opened(storage) as manifest:
        there = _delivered(manifest)
        chosen = sorted(random.Random(seed).sample(there, min(count, len(there))))
        return [_picked(storage, row) for row in _rows_at(manifest, chosen)]


def _delivered(manifest: pq.ParquetFile) -> Sequence[int]:
    """Positions of the rows of images that have a file."""
    if REFUSED not in manifest.schema_arrow.names:
        return range(manifest.metadata.num_rows)
    column = manifest.read(columns=[REFUSED], use_threads=False).column(0)
    return [position for position, refused in enumerate(column.to_pylist()) if not refused]


def storage_of(where: str, keys: StorageKeys) -> tuple[Storage, str]:
    """The destination, decrypted where it is encrypted, and the id of the key. Raises NoKey."""
    storage = Storage.named(where)
    key_id = key_id_of(storage.read_many([CLAIM])[0] or b"")
    if not key_id:
        return storage, ""
    from unikat.batches.encrypted import EncryptedStorage

    try:
        keys.key(key_id)
    except NoKey as error:
        there = ", ".join(storage.names(""))
        raise NoKey(f"{storage.url} is encrypted: {error}. Without it, only names can be seen: {there}") from error
    return EncryptedStorage(storage, keys, key_id), key_id


@contextmanager
def _opened(storage: Storage) -> Iterator[pq.ParquetFile]:
    """The manifest. Raises NotABatch."""
    url = storage.url_of(MANIFEST)
    with ExitStack() as stack:
        try:
            manifest = open_parquet(stack.enter_context(storage.reading(MANIFEST)))
        except FileNotFoundError:
            if f"{MANIFEST}.enc" in storage.names(""):
                raise NotABatch(
                    f"{storage.url} is encrypted, and its {CLAIM} is missing or damaged: without the data "
                    "key in it nothing can be decrypted"
                ) from None
            raise NotABatch(f"there is no {url}: no batch has written there, or it has not ended yet") from None
        except (DamagedFile, pa.ArrowException) as error:
            raise NotABatch(f"{url} is not readable: {error}") from error
        if not set(_COLUMNS) <= set(manifest.schema_arrow.names):
            raise NotABatch(f"{url} is not the manifest of a batch")
        yield manifest


def _rows_at(manifest: pq.ParquetFile, positions: list[int]) -> Iterator[Row]:
    """The rows at these positions, which are sorted."""
    before = 0
    for group in range(manifest.metadata.num_row_groups):
        stop = before + manifest.metadata.row_group(group).num_rows
        within = np.array([position - before for position in positions if before <= position < stop], np.int64)
        if len(within):
            yield from manifest.read_row_group(group, use_threads=False).take(within).to_pylist()
        before = stop


def _claim(storage: Storage) -> dict[str, Any]:
    """`batch.json`, empty if it is missing or broken."""
    try:
        claim = json.loads(storage.read_many([CLAIM])[0] or b"{}")
    except (ValueError, DamagedFile):
        return {}
    return claim if isinstance(claim, dict) else {}


def _check_rows(
    storage: Storage,
    manifest: pq.ParquetFile,
    claim: dict[str, Any],
    report: Report,
    progress: Callable[[int, int], None],
) -> None:
    files, folders = FileChecks(storage, report.add), FolderChecks(storage, report.add_extra)
    credentials = CredentialsChecks(storage, report.add) if claim.get("credentials") is True else None
    expected = 0  # index of the next row
    for batch in manifest.iter_batches(_ROWS_AT_ONCE, use_threads=False):
        sound, rows = [], batch.to_pylist()
        for row in rows:
            expected = _check_index(row, expected, report)
            problem = _row_problem(row, claim)
            if problem:
                report.add(Problem("row", row["file"], row["index"], problem))
            elif row.get(REFUSED):
                report.refused_count += 1
            else:
                sound.append(row)
                folders.see(row["file"])
                if credentials is not None:
                    folders.see_beside(credentials.see(row))
        files.check(sound)
        report.checked += len(rows)
        report.bytes_read = files.bytes_read
        progress(report.checked, report.rows)
    files.finish()
    if credentials is not None:
        credentials.finish()
    folders.finish({*map(storage.stored, (MANIFEST, SHEET, CLAIM)), *map("{}/".format, (*TOPS, PARTS))})
    if report.total is not None and expected < report.total:
        report.missing.append(range(expected, report.total))


def _check_index(row: Row, expected: int, report: Report) -> int:
    """Whether a row follows the one before; returns the index that should be next."""
    index: int | None = row["index"]
    if index is None:
        return expected
    if index < expected:
        report.add(Problem("duplicate", row["file"], index, "its index is there twice, or out of order"))
    elif index > expected:
        report.missing.append(range(expected, index))
    return max(expected, index + 1)


def _row_problem(row: Row, claim: dict[str, Any]) -> str:
    """What is wrong with a row itself; empty if nothing is."""
    if any(row[name] is None for name in _COLUMNS):
        return "the manifest leaves something open"
    if row.get(REFUSED):
        return "the manifest says that it was refused, and names a file" if row["file"] or row["sha256"] else ""
    if row["offset"] < 0 or not 0 < row["size"] <= _LARGEST:
        return f"the manifest says {row['size']} bytes from byte {row['offset']} on"
    if not _FILE.fullmatch(row["file"]):
        return "the manifest names a file that no batch writes"
    if row["media_type"] not in MEDIA_TYPES.values():
        return f'the manifest names an unknown type, "{row["media_type"]}"'
    for name in ("model", "model_digest", "seed", "truncation"):
        if name in claim and claim[name] != row[name]:
            return f"the manifest says {name} {row[name]}, {CLAIM} says {claim[name]}"
    return ""


def _picked(storage: Storage, row: Row) -> Picked:
    problem = _row_problem(row, {})
    if problem:
        raise NotABatch(f"{storage.url_of(MANIFEST)}, image {row['index']}: {problem}")
    try:
        weights = parse_conditions(row.get("conditions") or {})
    except ValueError as error:
        raise NotABatch(f"{storage.url_of(MANIFEST)}, image {row['index']}: {error}") from error
    return Picked(
        **vars(common_of(row)),
        index=row["index"],
        attempt=row.get("attempt") or 0,
        id=row["id"],
        weights=weights,
        sha256=row["sha256"],
        renderer=Renderer(
            row["provider"], row["runtime"], row["processor"], row.get("encoder") or "", row.get("mark") or ""
        ),
        data=storage.read_range(row["file"], row["offset"], row["size"]),
        recipe=row.get(RECIPE) or "",
        file=row["file"],
    )
