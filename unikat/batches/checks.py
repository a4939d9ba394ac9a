"""The files that a manifest names, compared with its rows; rows come in the order of the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from unikat.batches.layout import CREDENTIALS, END_OF_TAR, RECIPE, Entry, Row, common_of, tar_around
from unikat.batches.storage import DamagedFile, Storage

TOPS: Final = ("images", "shards", CREDENTIALS)  # folders of a batch
_SPAN: Final = 8 * 2**20  # bytes of images that are read at once


@dataclass(frozen=True)
class Problem:
    """Something is wrong. `kind`: "missing", "truncated", "differs", "duplicate" or "row".

    `index` is that of the image; None where it is about a file as a whole, such as a tar file that is missing.
    """

    kind: str
    file: str
    index: int | None
    message: str


class FileChecks:
    """Compares files with rows. `add` is given each problem."""

    def __init__(self, storage: Storage, add: Callable[[Problem], None]) -> None:
        self._storage = storage
        self._add = add
        self._tar = ""  # the tar file that rows are in at the moment
        self._at = 0  # where in it the next image's header should begin
        self._gone = 0  # images that should be in it, and it is not there, or
        self._damage = ""  # not what was encrypted
        self.bytes_read = 0

    def check(self, rows: Sequence[Row]) -> None:
        """Compare the files of some rows with them."""
        for file, of_file in groupby(rows, key=_tar_of):
            if file != self._tar:
                self.finish()
                self._tar, self._at = file, 0
            for span in _spans(list(of_file)):
                if file:
                    self._check_tar(file, span)
                else:
                    self._check_files(span)

    def finish(self) -> None:
        """Look at the end of the tar file."""
        if self._gone:
            images = f"with {self._gone:,} image{'' if self._gone == 1 else 's'}"
            kind, what = ("differs", self._damage) if self._damage else ("missing", "the file is missing")
            self._add(Problem(kind, self._tar, None, f"{what}, {images}"))
        elif self._tar:
            end = self._storage.read_range(self._tar, self._at, len(END_OF_TAR) + 1)
            if end != END_OF_TAR:
                kind = "truncated" if END_OF_TAR.startswith(end) else "differs"
                self._add(Problem(kind, self._tar, None, "does not end as a tar file does"))
        self._tar, self._gone, self._damage = "", 0, ""

    def _check_files(self, rows: Sequence[Row]) -> None:
        try:
            found = self._storage.read_many([row["file"] for row in rows])
        except DamagedFile as damaged:
            if len(rows) == 1:
                self._add(Problem("differs", rows[0]["file"], rows[0]["index"], str(damaged)))
            else:
                for row in rows:
                    self._check_files([row])
            return
        for row, data in zip(rows, found, strict=True):
            if data is None:
                self._add(Problem("missing", row["file"], row["index"], "the file is missing"))
            else:
                self.bytes_read += len(data)
                self._compare(row, data)

    def _check_tar(self, file: str, rows: Sequence[Row]) -> None:
        """Read some images, with their headers and JSON files, at once."""
        around = _around(rows)
        if not _fits(rows, around):
            earlier = _around(rows, earlier=True)
            around = earlier if _fits(rows, earlier) else around
        sizes = [len(head) + row["size"] + len(tail) for row, (head, tail) in zip(rows, around, strict=True)]
        begin = rows[0]["offset"] - len(around[0][0])
        try:
            data = self._storage.read_range(file, max(0, begin), sum(sizes))
        except (FileNotFoundError, DamagedFile) as error:
            self._gone += len(rows)
            self._damage = str(error) if isinstance(error, DamagedFile) else ""
            return
        self.bytes_read += len(data)
        at = 0
        for row, (head, tail), size in zip(rows, around, sizes, strict=True):
            if row["offset"] != self._at + len(head):
                self._add(Problem("row", file, row["index"], f"the image does not begin at byte {row['offset']}"))
            piece = data[at : at + size]
            if not piece.endswith(tail):
                ((_, other),) = _around([row], earlier=True)
                tail = other if len(other) == len(tail) else tail
            self._compare(row, piece, head, tail)
            at += size
            self._at = begin + at

    def _compare(self, row: Row, data: bytes, head: bytes = b"", tail: bytes = b"") -> None:
        """Compare what was read, an image between `head` and `tail`, with its row."""
        size = len(head) + row["size"] + len(tail)
        image = data[len(head) : len(head) + row["size"]]
        if len(data) != size:
            kind = "truncated" if len(data) < size else "differs"
            self._add(Problem(kind, row["file"], row["index"], f"{len(data)} bytes are there instead of {size}"))
        elif hashlib.sha256(image).hexdigest() != row["sha256"]:
            self._add(Problem("differs", row["file"], row["index"], "the image has other bytes than the manifest says"))
        elif not (data.startswith(head) and data.endswith(tail)):
            self._add(Problem("differs", row["file"], row["index"], "what stands around the image is not what it was"))


class FolderChecks:
    """Compares what is in the folders with what rows name. `add_extra` is given each file that none names."""

    def __init__(self, storage: Storage, add_extra: Callable[[str], None]) -> None:
        self._storage = storage
        self._add_extra = add_extra
        self._folder = ""  # that rows are in at the moment, and
        self._named: set[str] = set()  # the files that they name in it
        self._folders = {top: set[str]() for top in TOPS}

    def see(self, file: str) -> None:
        """A row names a file."""
        folder, _, name = self._storage.stored(file).rpartition("/")
        if folder != self._folder:
            self._leave()
            self._folder = folder
        self._named.add(name)

    def see_beside(self, file: str) -> None:
        """A file that belongs to a row, right in one of the folders."""
        top, _, name = self._storage.stored(file).partition("/")
        self._folders[top].add(name)

    def finish(self, known: set[str]) -> None:
        """Look at the rest; `known` is what may be in the destination itself."""
        self._leave()
        for folder, named in self._folders.items():
            self._compare(folder, named)
        self._compare("", known)

    def _leave(self) -> None:
        top, _, inner = self._folder.partition("/")
        if inner:
            self._folders[top].add(f"{inner}/")
            self._compare(self._folder, self._named)
        elif top:
            self._folders[top] |= self._named
        self._named = set()

    def _compare(self, folder: str, named: set[str]) -> None:
        for name in self._storage.names(folder):
            if name not in named:
                self._add_extra(f"{folder}/{name}" if folder else name)


def _around(rows: Sequence[Row], *, earlier: bool = False) -> list[tuple[bytes, bytes]]:
    entries = [Entry(row["index"], row["id"], row.get("conditions") or {}, row.get(RECIPE) or "") for row in rows]
    return [
        tar_around(common_of(row), entry, row["size"], earlier=earlier)
        for row, entry in zip(rows, entries, strict=True)
    ]


def _fits(rows: Sequence[Row], around: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether images lie so far from one another as what is around them needs."""
    pairs = zip(zip(rows, around, strict=True), zip(rows[1:], around[1:], strict=True), strict=False)
    return all(
        after["offset"] - row["offset"] == row["size"] + len(tail) + len(head)
        for (row, (_, tail)), (after, (head, _)) in pairs
    )


def _tar_of(row: Row) -> str:
    """The tar file that an image is in, "" for one in a file of its own."""
    file: str = row["file"]
    return file if file.endswith(".tar") else ""


def _spans(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows, as many at a time as may be read at once."""
    begin, size = 0, 0
    for position, row in enumerate(rows):
        size += row["size"]
        if size >= _SPAN:
            yield rows[begin : position + 1]
            begin, size = position + 1, 0
    if begin < len(rows):
        yield rows[begin:]
