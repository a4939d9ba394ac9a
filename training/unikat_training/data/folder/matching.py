"""Which picture a table means by a path, a name or an id."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from unikat_training.data.formats import SUFFIXES, suffix

EXACT: Final = "as it is"
OTHER_CASE: Final = "ignoring case"
PART: Final = "by a part of its path"
NO_ENDING: Final = "without its ending"
IDS: Final = 0.9  # what a column is worth that names all pictures without their endings
PARTS: Final = 0.98  # or by parts of their paths
_WORTH: Final = {EXACT: 1.0, OTHER_CASE: 0.99, PART: PARTS, NO_ENDING: IDS}


@dataclass(frozen=True, slots=True)
class Match:
    """The picture that was meant, and how it was found; or none, and why."""

    picture: str = ""
    how: str = ""
    problem: str = ""


@dataclass
class Matcher:
    """Finds pictures by what tables write.

    A path is right as it is, from the table's folder or from the top; else, where one picture only fits: in other case,
    by a part of its path (a bare name, or an absolute path of another machine), without its ending; when told, by its
    name in another folder.
    """

    pictures: Sequence[str]
    any_folder: bool = False  # a name will do that only one picture has, whatever the folders
    _paths: dict[str, str] = field(default_factory=dict)
    _names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # both without case
    _stems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for picture in self.pictures:
            path = _key(picture)
            name = path.rpartition("/")[2].casefold()
            self._paths[path] = picture
            self._names[name].append(picture)
            self._stems[stem(name)].append(picture)

    def __len__(self) -> int:
        return len(self._paths)

    def find(self, text: str, folder: str = "") -> Match:
        """The picture that `text` means in a table in `folder` ("" or "sub/folder/")."""
        wanted = _key(text)
        for path in (_key(folder) + wanted, wanted):
            if path in self._paths:
                return Match(self._paths[path], EXACT)
        name = wanted.rpartition("/")[2].casefold()
        bare = stem(name) if suffix(name) in SUFFIXES else name
        for same, ending in ((self._names.get(name, []), True), (self._stems.get(bare, []), False)):
            found = [picture for picture in same if self.any_folder or _fits(picture, wanted, ending)]
            if folder and len(found) > 1:
                found = [picture for picture in found if picture.startswith(folder)]
            if len(found) == 1:
                return Match(found[0], _how(found[0], wanted) if ending else NO_ENDING)
            if found:
                return Match(problem=f"{len(found)} pictures have that name; give the path")
        return Match()

    def worth(self, texts: list[str], folder: str = "") -> float:
        """How well a column names pictures, 0 to 1: the share of its cells that do, less where it takes guessing."""
        found = [self.find(text, folder) for text in texts]
        different = len({match.picture for match in found if match.picture})
        matched = sum(bool(match.picture) for match in found)
        return sum(_WORTH.get(match.how, 0.0) for match in found) / max(1, len(texts)) * different / max(1, matched)


def _fits(picture: str, wanted: str, ending: bool) -> bool:
    """True where one path is the other's end: never a picture of the same name in another folder."""
    path, wanted = _key(picture).casefold(), wanted.casefold()
    if not ending:
        path, wanted = stem(path), stem(wanted) if suffix(wanted) in SUFFIXES else wanted
    return f"/{path}".endswith(f"/{wanted}") or f"/{wanted}".endswith(f"/{path}")


def _how(picture: str, wanted: str) -> str:
    return OTHER_CASE if _key(picture).casefold() == wanted.casefold() else PART


def stem(path: str) -> str:
    """A path without its ending."""
    folder, slash, name = path.rpartition("/")
    before, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{before if dot and before else name}"


def _key(path: str) -> str:
    # macOS writes "é" as two characters (NFD), most others as one (NFC); Windows separates by "\".
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/")).removeprefix("./").lstrip("/")
