"""Labels in paths: which folders tell pictures apart, and which only wrap or divide them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from unikat_training.data.folder.container import display
from unikat_training.data.folder.listing import Labels
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.naming import clean
from unikat_training.errors import DatasetError

_SPLIT: Final = re.compile(
    r"(train|training|val|valid|validation|test|testing|dev|eval|evaluation|holdout|pred|unlabell?ed)(\d*)",
    re.IGNORECASE,
)
_FOLD: Final = re.compile(r"(fold|part|shard|chunk)[-_ ]?\d+", re.IGNORECASE)
_WORDS: Final = {"set", "data", "dataset", "images", "imgs", "split", "of", ""}  # beside train or test they say nothing
# One folder of that name around all pictures says nothing of them.
_GENERIC: Final = re.compile(
    r"(the[-_ ]?)?(images?|imgs?|pictures?|pics|photos?|data|dataset|all|files|jpe?gs?|jpegimages|pngs?|\d+)", re.I
)
_NO_CATEGORY: Final = re.compile(r"images?|imgs?|jpegimages", re.IGNORECASE)
_NONE: Final = "/"  # no word of a folder's name
_FEW = 10  # rows; of fewer nobody can tell whether their values recur
_FEW_IN_FOLDERS = 50  # likewise; folders are rarely something else than categories
_SHOWN = 5
_DIGITS: Final = 3  # longer numbers are dates and times, or of a series


def is_split(name: str) -> bool:
    """True for train, valid, test_set and the like: how others divided the pictures, not what these show."""
    return _rest(name) <= _WORDS


def are_splits(names: Sequence[str]) -> bool:
    """True where all names are those of splits, or of the same thing with them (seg_train, seg_test), or of folds."""
    rests = {frozenset(_rest(name) - _WORDS) for name in names}
    return (len(rests) == 1 and _NONE not in rests.pop()) or all(_FOLD.fullmatch(name) for name in names)


def _rest(name: str) -> set[str]:
    """The words of a name without that of a split; a name that has none has a word that no other has."""
    words = re.split(r"[-_ .]+", name.strip().lower())
    rest = {word for word in words if not _SPLIT.fullmatch(word) and not word.isdecimal()}
    return rest if any(_SPLIT.fullmatch(word) for word in words) else {_NONE}


def recurs(names: Sequence[str], few: int = _FEW) -> bool:
    """True where names can be categories; false where there is one for less than two pictures, as of ids and captions.

    Of less than `few` pictures nobody can tell.
    """
    return len(names) < few or len(set(names)) <= len(names) / 2


def in_split(picture: str, splits: Sequence[str]) -> bool:
    """True for a picture with a folder that is called like one of `splits`."""
    wanted = {split.casefold() for split in splits}
    return any(part.casefold() in wanted or _split_word(part) in wanted for part in _folders(picture))


def _split_word(name: str) -> str:
    """ "train" of "seg_train", "train2017" and "train-00000-of-00002"; "" where there is none."""
    found = [match for word in re.split(r"[-_ .]+", name.lower()) if (match := _SPLIT.fullmatch(word))]
    return str(found[0][1]) if found else ""


def split_folders(pictures: Sequence[str]) -> list[str]:
    """What divides pictures into train, test, …: the words, and the names of folders."""
    names = {part for picture in pictures for part in _folders(picture)}
    return sorted({_split_word(name) or name for name in names if _split_word(name) or _FOLD.fullmatch(name)})


def level_labels(
    pictures: Sequence[str], options: FolderOptions, parts: Callable[[str], list[str]] | None = None
) -> Labels:
    """Labels from the parts at the levels that were asked for: folders, or others. Raises DatasetError for no such."""
    levels, names, parts_of = options.label_level, options.attribute, parts or _folders
    if names and len(names) != len(levels):
        raise DatasetError(f"--attribute: {len(names)} names for {len(levels)} of --label-level; give one for each")
    attributes = names or (("category",) if len(levels) == 1 else tuple(f"level_{level}" for level in levels))
    found = Labels(tuple(attribute.replace("level_-", "level_last_") for attribute in attributes))
    found.of = {picture: tuple(_at(parts_of(picture), level) for level in levels) for picture in pictures}
    for column, level in enumerate(levels):
        if not any(values[column] for values in found.of.values()):
            depth = max((len(parts_of(picture)) for picture in pictures), default=0)
            allowed = f"1 to {depth} or -1 to -{depth}" if depth else "none: the pictures are in no folders"
            what = "part in its name" if parts else "folder"
            raise DatasetError(f"--label-level {level}: no picture has such a {what}; levels are {allowed}")
    return found


def folder_labels(pictures: Sequence[str], options: FolderOptions) -> Labels:
    """Labels from the outermost folders that tell pictures apart; none where there are no such folders."""
    depth = max((len(_folders(picture)) for picture in pictures), default=0)
    levels = {level: [_at(_folders(picture), level) for picture in pictures] for level in range(1, depth + 1)}
    found, telling = Labels(), []
    for level, names in levels.items():
        if len(set(names)) > 2:  # some pictures lie in a folder of that name where others lie in categories
            names[:] = [None if name and _NO_CATEGORY.fullmatch(name) else name for name in names]
        present = [name for name in names if name]
        if are_splits(present):
            found.notes.append(
                f"{_shown(present)} divide the pictures and are no categories; --split takes one of them"
            )
        elif not recurs(present, _FEW_IN_FOLDERS):
            found.warnings.append(
                f"{len(set(present))} folders of {len(present)} pictures are no categories ({_shown(present)}); "
                f"--label-level {level} takes them"
            )
        elif len(set(present)) > 1:
            telling.append(level)
    if not telling:
        return _one_category(pictures, levels, found, options)
    level = telling[0]
    loose = sum(name is None for name in levels[level])
    if loose > len(pictures) / 2:
        found.warnings.append(
            f"{loose} of {len(pictures)} pictures are in no folder, so folders are no categories "
            f"({_shown(levels[level])}); --label-level {level} takes them, without the others"
        )
        return found
    found.attributes = _one_name(options)
    found.of = {picture: (name,) for picture, name in zip(pictures, levels[level], strict=True)}
    for deeper in telling[1:]:
        found.warnings.append(
            f"the folders below are not used ({_shown(levels[deeper])}): --label-level {deeper} takes these, "
            f"--label-level {level} --label-level {deeper} both"
        )
    return found


def _one_category(
    pictures: Sequence[str], levels: dict[int, list[str | None]], found: Labels, options: FolderOptions
) -> Labels:
    """No level tells pictures apart: the folder around all of them is their one category, if it has a name."""
    around = [names[0] for names in levels.values() if names[0] and set(names) == {names[0]}]
    named = [name for name in around if not is_split(name) and not _GENERIC.fullmatch(name)]
    if named:
        found.attributes = _one_name(options)
        found.of = dict.fromkeys(pictures, (named[-1],))
        return found
    for level, names in levels.items():
        inside = [name for name in names if name and not is_split(name)]
        if inside and None in names and not found.warnings:
            found.warnings.append(
                f"{len(names) - len(inside)} of {len(names)} pictures are not in a folder like others "
                f"({_shown(inside)}), so folders are no categories and all are taken; --label-level {level} takes them"
            )
    return found


def name_labels(pictures: Sequence[str], options: FolderOptions) -> Labels:
    """Labels from how the files' names begin (cat.0.jpg, cat_12.jpg, 003-cat.jpg), or from parts: 39_male_0.jpg."""
    if options.label_level:
        return level_labels(pictures, options, _parts(pictures))
    return Labels(_one_name(options), {picture: (_prefix(picture) or None,) for picture in pictures})


def hint_of_names(pictures: Sequence[str]) -> str:
    """What `--labels names` would do, where names look as if they began with categories or had parts; else ""."""
    counts = Counter(_prefix(picture) for picture in pictures)
    if not 2 <= len(counts) <= len(pictures) / 4 or "" in counts or min(counts.values()) < 2:
        return _hint_of_parts([*map(_parts(pictures), pictures)])
    if all(is_split(name) for name in counts):
        return ""
    shown = ", ".join(f"{name} {count}" for name, count in counts.most_common(_SHOWN))
    more = ", …" if len(counts) > _SHOWN else ""
    return f"the files' names begin with {shown}{more}: --labels names takes that as labels"


def _hint_of_parts(parts: Sequence[Sequence[str]]) -> str:
    """What `--label-level` would do, where names of several parts have some that recur, but for dates."""
    for level in range(1, min(map(len, parts), default=0) + 1):
        counts = Counter(each[level - 1] for each in parts)
        dates = any(name.isdecimal() and len(name) > _DIGITS for name in counts)
        if 2 <= len(counts) <= len(parts) / 4 and min(counts.values()) >= 2 and not dates and not are_splits([*counts]):
            shown = ", ".join(f"{name} {count}" for name, count in counts.most_common(_SHOWN))
            return (
                f"part {level} of the files' names is {shown}{', …' if len(counts) > _SHOWN else ''}: "
                f"--labels names --label-level {level} takes that as labels"
            )
    return ""


def _parts(pictures: Sequence[str]) -> Callable[[str], list[str]]:
    """Splits a picture's name into its parts, at what separates them in most names."""
    separator = max("_- ", key=lambda each: sum(each in _name(picture) for picture in pictures))
    return lambda picture: _name(picture).split(separator)


def _one_name(options: FolderOptions) -> tuple[str, ...]:
    if len(options.attribute) > 1:
        raise DatasetError(
            f"--attribute {options.attribute[-1]}: this is one attribute; give one name (or several of --label-level)"
        )
    return options.attribute or ("category",)


def _prefix(picture: str) -> str:
    stem = re.sub(r"^[\d\s._()-]+", "", _name(picture))
    return re.sub(r"[\s._()-]*\d[\d\s._()x-]*$", "", stem).strip(" ._-")


def _name(picture: str) -> str:
    """A file's name without its ending."""
    return picture.rpartition("/")[2].rpartition(".")[0]


def _folders(picture: str) -> list[str]:
    return picture.split("/")[:-1]


def _at(parts: Sequence[str], level: int) -> str | None:
    """The part at a level; 1 is the first (of folders, the outermost), -1 the last."""
    index = level - 1 if level > 0 else len(parts) + level
    return clean(display(parts[index])) if level and 0 <= index < len(parts) else None


def _shown(names: Sequence[str | None]) -> str:
    different = list(dict.fromkeys(name for name in names if name))
    return ", ".join(different[:_SHOWN]) + (f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else "")
