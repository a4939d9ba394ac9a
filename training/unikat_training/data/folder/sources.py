"""Where labels come from: a file, files beside the pictures, folders, names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from unikat_training.data.folder import options as ways
from unikat_training.data.folder.archives import Place
from unikat_training.data.folder.beside import SIDECARS, TEXTS, has_boxes, pairs, sidecar_table
from unikat_training.data.folder.columns import read_labels, with_file_column
from unikat_training.data.folder.container import Container, display
from unikat_training.data.folder.levels import folder_labels, hint_of_names, level_labels, name_labels
from unikat_training.data.folder.listing import Labels, Listing
from unikat_training.data.folder.matching import Matcher, stem
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.tables import (
    SPREADSHEETS,
    STYLEGAN,
    UNREAD_LABELS,
    UNREAD_LISTS,
    Table,
    read_table,
)
from unikat_training.data.folder.tags import with_tags
from unikat_training.data.formats import TABLE_SUFFIXES, suffix
from unikat_training.data.report import Problem
from unikat_training.errors import DatasetError

_SHOWN = 3  # files that are not used
_TRIED = 50  # pictures that are looked for in a text
_FEW = 0.1  # of the pictures that the best table names; one that names less is about something else


@dataclass
class LabelSearch:
    """Looks for the labels of `pictures`; what it finds on the way is added to the listing."""

    listing: Listing
    pictures: list[str]
    options: FolderOptions

    def found(self) -> Labels:
        """The labels that there are. Raises DatasetError for those that cannot be used, and for wrong options."""
        options = self.options
        way = ways.FOLDERS if options.labels == ways.AUTO and options.label_level else options.labels
        if way == ways.NONE:
            if options.attribute or options.label_level or options.file_column:
                raise DatasetError("--labels none: takes no --attribute, --label-level and --file-column")
            return Labels()
        if way == ways.NAMES:
            return self._by_path(name_labels(self.pictures, options), "the files' names")
        if way == ways.BESIDE:
            beside = self._beside((*SIDECARS, *TEXTS))
            if beside is None:
                why = "; ".join(["", *self.listing.notes])
                endings = ", ".join((*SIDECARS, *TEXTS))
                raise DatasetError(f"--labels beside: no {endings} beside a picture has labels{why}")
            return beside
        if way != ways.FOLDERS:
            found = self._by_tables() if way == ways.AUTO else self._by_asked_table()
            if found is not None:
                return found
        if options.file_column:
            raise DatasetError(f"--file-column {options.file_column}: there is no file of labels")
        levels = level_labels if options.label_level else folder_labels
        by_path = self._by_path(levels(self.pictures, options), "the folders")
        if not by_path.attributes:
            if options.attribute:
                raise DatasetError(f"--attribute {options.attribute[-1]}: the pictures have no labels")
            hint = hint_of_names(self.pictures)
            self.listing.warnings += [hint] if hint else []
        return by_path

    def _matcher(self) -> Matcher:
        return Matcher(self.pictures, any_folder=bool(self.options.file_column))

    def _by_path(self, found: Labels, source: str) -> Labels:
        found.notes += [f"labels: {source}"] if found.attributes else []
        self.listing.tell(found)
        return found

    def _by_asked_table(self) -> Labels:
        name, content = _asked_table(self.listing.container, self.options.labels)
        table = read_table(name, content)
        if table is None:
            raise DatasetError(f"--labels {self.options.labels}: no labels are in it")
        matcher = self._matcher()
        (table,), asked = with_tags([with_file_column(table, matcher, self.options)], self.options)
        return self._merged([(table, read_labels(table, matcher, asked))])

    def _by_tables(self) -> Labels | None:
        """Labels from files; None when there are none that could be meant."""
        matcher, failures = self._matcher(), list[DatasetError]()
        tables, used = list[Table](), list[tuple[Table, Labels]]()

        def failed(table: Table, error: DatasetError) -> None:
            if suffix(table.name) in (".txt", ".json"):  # may be about anything
                self.listing.notes.append(f"not used: {error}")
            else:
                failures.append(error)

        for table in self._tables(failures):
            try:
                tables.append(with_file_column(table, matcher, self.options))
            except DatasetError as error:
                failed(table, error)
        tables, wanted = with_tags(tables, self.options)
        for table in tables:
            try:
                read = read_labels(table, matcher, wanted)
            except DatasetError as error:
                failed(table, error)
                continue
            if read.attributes:
                used.append((table, read))
            elif read.notes:
                why = "; ".join(read.notes)
                failures.append(DatasetError(f"{why}; choose a column by --attribute, or do without by --labels none"))
            else:
                self.listing.warnings.append(f"{table.name} has no labels, so it is not used")
        asked = self.options.attribute or self.options.file_column
        folders = Labels() if asked else folder_labels(self.pictures, self.options)
        if not used:
            found = self._beside(SIDECARS) or self._texts_beside()
        elif folders.attributes and sum(len(read.of) for _, read in used) < len(self.pictures) / 2:
            found = self._completed(folders, used)
        else:
            found = self._merged(self._main(used))
        if failures and found is None and not folders.attributes:
            raise failures[0]
        if found is None and not folders.attributes and (box := has_boxes(self.pictures, self.listing.container.files)):
            self.listing.warnings.append(f"{box}: boxes, as YOLO has them, are not read; those of COCO are")
        self.listing.warnings += [f"not used: {failure}" for failure in failures[:_SHOWN]]
        if len(failures) > _SHOWN:
            self.listing.warnings.append(f"not used: {len(failures) - _SHOWN} more files of labels")
        return found

    def _completed(self, folders: Labels, used: list[tuple[Table, Labels]]) -> Labels | None:
        """The folders' labels, and tables' for pictures in none of these folders, if they say nothing but their names.

        Tiny ImageNet is so: a folder a category for training, a table for validation.
        """
        of = {picture: values for _, read in used for picture, values in read.of.items()}
        names = ", ".join(table.name for table, _ in used)
        if not {*of.values()} <= {*folders.of.values()} or any(folders.of[picture] != (None,) for picture in of):
            self.listing.warnings.append(f"{names}: less than half of the pictures are in it; --labels FILE takes it")
            return None
        self._not_problems({table.name for table, _ in used})
        return self._by_path(replace(folders, of=folders.of | of), f"the folders, and {names} where there are none")

    def _main(self, used: list[tuple[Table, Labels]]) -> list[tuple[Table, Labels]]:
        """Those that label pictures: not a list of the categories' names, whose numbers are pictures' names, too."""
        _, best = max(used, key=lambda each: len(each[1].of))
        main = [
            each for each in used if each[1].attributes == best.attributes or len(each[1].of) >= _FEW * len(best.of)
        ]
        self.listing.warnings += [
            f"{table.name} names few pictures, so it is not used"
            for table, read in used
            if not any(read is kept for _, kept in main)
        ]
        return main

    def _tables(self, failures: list[DatasetError]) -> list[Table]:
        """The files that can be tables: StyleGAN's where there is one, else all that are no file beside a picture."""
        listing, files = self.listing, self.listing.container.files
        beside = {stem(name) for name in self.pictures} | {*self.pictures}  # of 1.png: 1.json or 1.png.json
        bare = {name.rpartition("/")[2] for name in beside}  # one a picture in another folder, as YOLO has them
        endings = (*TABLE_SUFFIXES, *SPREADSHEETS, ".txt")
        names = [name for name in files if suffix(name) in endings and stem(name) not in beside]
        names = [n for n in names if suffix(n) not in (".txt", ".json") or stem(n).rpartition("/")[2] not in bare]
        failures += [
            DatasetError(
                f"{name}: labels, as it seems, but such files are not read here; save it as CSV, or do without by "
                "--labels none"
            )
            for name in files
            if stem(name) not in beside
            and stem(name).rpartition("/")[2] not in bare
            and (UNREAD_LABELS.fullmatch(name.rpartition("/")[2]) or self._is_list(name, files[name]))
        ]
        stylegan = [name for name in names if name.rpartition("/")[2] == STYLEGAN]
        tables = []
        for name in stylegan or [name for name in names if "submission" not in name.lower()]:  # Kaggle's has no labels
            try:
                table = read_table(name, files[name].read())
            except (OSError, ValueError) as error:
                failures.append(DatasetError(str(error) if isinstance(error, DatasetError) else f"{name}: {error}"))
                continue
            if table is not None:
                tables.append(table)
            elif name in stylegan:
                listing.notes.append(f"{name} says that the pictures have no labels")
                listing.problems = [p for p in listing.problems if p.item != name]
        return tables

    def _is_list(self, name: str, place: Place) -> bool:
        """Whether it is a text of a kind that is not read here, with the names of most pictures in it."""
        if suffix(name) not in UNREAD_LISTS:
            return False
        some = self.pictures[:: max(1, len(self.pictures) // _TRIED)]
        try:
            text = place.read()
        except (OSError, ValueError):
            return False
        return sum(name.rpartition("/")[2].encode() in text for name in some) > len(some) / 2

    def _texts_beside(self) -> Labels | None:
        """Labels in texts beside the pictures, where folders tell nothing; captions are none."""
        if not any(pairs(self.pictures, self.listing.container.files, TEXTS)):
            return None
        if len({*folder_labels(self.pictures, replace(self.options, attribute=())).of.values()}) > 1:
            self.listing.notes.append("the texts beside the pictures are not used; --labels beside takes them")
            return None
        return self._beside(TEXTS)

    def _beside(self, endings: tuple[str, ...]) -> Labels | None:
        found = list(pairs(self.pictures, self.listing.container.files, endings))
        files = self.listing.container.files
        table = sidecar_table((picture, name, files[name].read()) for picture, name in found)
        if not table.rows:
            return None
        matcher = self._matcher()
        (tagged,), asked = with_tags([with_file_column(table, matcher, self.options)], self.options)
        by_itself = read_labels(tagged, matcher, ())
        if not by_itself.attributes and (endings == TEXTS or not asked):
            self.listing.notes += by_itself.notes
            return None
        self._not_problems({name for _, name in found})
        return self._merged([(tagged, read_labels(tagged, matcher, asked) if asked else by_itself)])

    def _merged(self, used: list[tuple[Table, Labels]]) -> Labels:
        """The labels of tables of the same columns, such as one a split. Raises DatasetError for other ones."""
        listing = self.listing
        if len({read.attributes for _, read in used}) > 1:
            raise DatasetError(
                "more than one file of labels, with other columns; choose one by --labels: "
                + ", ".join(f"{table.name} ({', '.join(read.attributes)})" for table, read in used)
            )
        of, splits = dict[str, tuple[str | None, ...]](), dict[str, str]()
        for _, read in used:
            for picture, values in read.of.items():
                if of.setdefault(picture, values) != values:
                    detail = "labelled twice, differently; the first holds"
                    listing.problems.append(Problem("bad label", display(picture), detail))
            splits |= read.splits
            listing.tell(read)
        names = {table.name for table, _ in used}
        listing.notes.append(f"labels: {', '.join(sorted(names))}")
        self._not_problems(names)
        return Labels(used[0][1].attributes, of, splits)

    def _not_problems(self, names: set[str]) -> None:
        """Files of labels that are used, and files beside pictures, are no surprise."""
        self.listing.problems = [
            p
            for p in self.listing.problems
            if p.kind != "not an image" or not (p.item in names or suffix(p.item) in SIDECARS)
        ]


def _asked_table(container: Container, labels: str) -> tuple[str, bytes]:
    endings = (*TABLE_SUFFIXES, ".txt")
    if suffix(labels) not in endings:
        raise DatasetError(
            f"--labels {labels}: must be beside, folders, names, none, or a file that ends in {' '.join(endings)}"
        )
    path = Path(labels)
    try:
        if path.as_posix() in container.files:
            return path.as_posix(), container.files[path.as_posix()].read()
        inside = path.resolve().is_relative_to(container.path.resolve())
        name = path.resolve().relative_to(container.path.resolve()).as_posix() if inside else path.name
        return name, path.read_bytes()
    except (OSError, ValueError) as error:
        raise DatasetError(f"--labels {labels}: cannot be read: {error}") from error
