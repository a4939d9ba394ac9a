"""Labels in files beside the pictures: the class of 1.png in 1.cls, 1.json or 1.txt, or its tags, or 1.png.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from unikat_training.data.fields import Object
from unikat_training.data.folder.archives import Place
from unikat_training.data.folder.matching import stem
from unikat_training.data.folder.tables import CONDITIONS, LABEL, Rows, Table, drawn
from unikat_training.data.formats import suffix
from unikat_training.data.report import Problem

SIDECARS: Final = (".json", ".cls")
TEXTS: Final = (".txt",)  # as Stable Diffusion's trainers have them: tags, or a caption, which is no label
_LABELS: Final = ("label", "class", "category", "cls")
_TAGS: Final = "tags"
_TRIED: Final = 50  # pictures whose boxes are looked for
_BOX: Final = 5  # numbers: a class, then where it is
_NUMBERS: Final = frozenset("0123456789.-+e \t\r\n")


def pairs(pictures: Sequence[str], files: Iterable[str], endings: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each picture that has a file of one of these endings beside it, and that file."""
    beside = {stem(name): name for name in files if suffix(name) in endings}
    for picture in pictures:
        name = beside.get(stem(picture)) or beside.get(picture)
        if name:
            yield picture, name


def sidecar_table(contents: Iterable[tuple[str, str, bytes]]) -> Table:
    """The labels in the files beside pictures: a picture, its file, what is in that."""
    rows, problems = Rows(), list[Problem]()
    for picture, name, content in contents:
        try:
            values = _sidecar(name, content)
        except (ValueError, RecursionError) as error:
            problems.append(Problem("bad label", name, str(error)))
            continue
        if values:
            rows.append((name, {"file": picture, **values}))
    return Table("the files beside the pictures", rows=rows, problems=problems, file_column="file")


def _sidecar(name: str, content: bytes) -> Object:
    text = content.decode("utf-8-sig")
    if suffix(name) in TEXTS:
        return {} if _is_box(text) else {LABEL: ",".join(text.strip().splitlines())}
    if suffix(name) == ".cls":
        return {LABEL: text.strip()}
    document = json.loads(text)
    if not isinstance(document, dict):
        return {}
    conditions = document.get(CONDITIONS)
    if isinstance(conditions, dict):
        with suppress(ValueError):  # others may call theirs so
            return drawn(conditions)
        return conditions
    label = next((key for key in _LABELS if key in document), None)
    found: Object = {LABEL: document[label]} if label else {}
    return found | ({_TAGS: document[_TAGS]} if _TAGS in document else {})


def has_boxes(pictures: Sequence[str], files: Mapping[str, Place]) -> str:
    """A text of numbers with the name of a picture, in whichever folder, as YOLO has them; "" where few have one."""
    texts = {stem(name).rpartition("/")[2]: name for name in files if suffix(name) in TEXTS}
    some = pictures[:: max(1, len(pictures) // _TRIED)]
    named = [texts[bare] for picture in some if (bare := stem(picture).rpartition("/")[2]) in texts]
    boxes = list[str]()
    for name in named:
        with suppress(OSError, ValueError):  # it cannot be read
            boxes += [name] if _is_box(files[name].read().decode("utf-8-sig")) else []
    return boxes[0] if len(boxes) > len(some) / 2 else ""


def _is_box(text: str) -> bool:
    return len(text.split()) >= _BOX and _NUMBERS.issuperset(text)
