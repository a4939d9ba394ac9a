"""How a folder is read: `FolderOptions`. Each field is a flag of `prepare folder` and of `fit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from typer import Option

from unikat_training.data.pictures import Fit

AUTO: Final = "auto"
FOLDERS: Final = "folders"
NAMES: Final = "names"
NONE: Final = "none"
BESIDE: Final = "beside"
KEEP: Final = "keep"
Channels = Literal["auto", "rgb", "rgba"]
LEFT_OUT: Final = 0.33  # a third


@dataclass(frozen=True)
class FolderOptions:
    """How a folder is read."""

    labels: Annotated[
        str,
        Option(
            metavar="FILE|beside|folders|names|none",
            help="Where labels are: a file (CSV, TSV, JSONL, JSON, Parquet), files beside the pictures, the folders, "
            "the beginnings of the files' names, or nowhere (auto: what is found, in this order: a file, a .cls or "
            ".json beside each picture, folders, a .txt beside each picture).",
        ),
    ] = AUTO
    label_level: Annotated[
        tuple[int, ...],
        Option(
            metavar="N",
            help="Which folders of a path are labels: 1 is right below PATH, -1 is where the pictures are; repeatable, "
            "an attribute each. With --labels names: which part of a name, between _, - or blanks.",
            show_default="the outermost ones that tell pictures apart",
        ),
    ] = ()
    file_column: Annotated[
        str, Option(help="The column of a file of labels that names the pictures.", show_default="the one that does")
    ] = ""
    attribute: Annotated[
        tuple[str, ...],
        Option(
            help="Files of labels: a column to use. Folders: the attribute's name. Repeatable.",
            show_default="all columns whose values recur",
        ),
    ] = ()
    tags: Annotated[
        int,
        Option(min=0, help="Where pictures have tags: so many, the most frequent ones, become attributes (0: none)."),
    ] = 16
    split: Annotated[
        tuple[str, ...],
        Option(help="Of train, valid, test: only the pictures of this one; repeatable.", show_default="all"),
    ] = ()
    fold: Annotated[
        bool, Option("--fold", help="Make one of categories that differ in capitals, blanks, - and _ only.")
    ] = False
    fit: Annotated[Fit, Option(help="Crop the middle square, or pad to a square with the background.")] = "crop"
    channels: Annotated[
        Channels,
        Option(
            help="rgba: alpha is kept and trained, too; rgb: transparent pictures are shown on a colour (auto: rgba "
            "where half of the pictures or more are transparent in part, and can be seen on white).",
        ),
    ] = "auto"
    background: Annotated[
        str,
        Option(
            metavar="COLOUR|keep",
            help="What transparent pictures are shown on, such as white or #808080, which makes the channels rgb; "
            "keep: another word for --channels rgba (auto: white, or else a colour on which they can be seen).",
        ),
    ] = AUTO
    max_left_out: Annotated[
        float,
        Option(min=0, max=1, help="Stop when more than this share of the pictures would be left out (1: never)."),
    ] = LEFT_OUT
