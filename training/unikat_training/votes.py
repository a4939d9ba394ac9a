"""What people said of earlier versions (`unikat votes report`), for the card of the next one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from unikat.bundle import parse_reference
from unikat_training.errors import TrainingError
from unikat_training.markdown import table

FORMAT: Final = 1
MOST_BYTES: Final = 16 * 2**20

Votes = Annotated[
    Path | None,
    typer.Option(
        "--votes",
        help="report.json of `unikat votes report`: what people said of earlier versions, for the card.",
        show_default=False,
    ),
]
Interval = Sequence[float] | None


@dataclass(frozen=True)
class Judgement:
    """What the card gets of a report: what is said of models of one name, and how it was counted."""

    liked: list[tuple[str, str, str]]  # entry, how often it is chosen beside an average entry, votes
    taken: list[tuple[str, str, str]]  # entry, how often it was taken for the artist's, answers
    counted: str

    @property
    def section(self) -> str:
        """Markdown."""
        parts = ["## People's judgement", self.counted]
        if self.liked:
            head = ("“which do you like?”", "chosen beside an average entry", "votes")
            parts.append(table(head, self.liked))
        if self.taken:
            head = ("“which is by the artist?”", "taken for the artist's, at 50% nobody can tell", "answers")
            parts.append(table(head, self.taken))
        return "\n\n".join(parts)


def read_judgement(path: Path, name: str) -> Judgement:
    """What a report says of the versions of the model `name`.

    Raises TrainingError for what is no such report, and for one that says nothing of this model.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"has more than {MOST_BYTES} bytes")
        report = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(report, dict) or report.get("format") != FORMAT:
            raise ValueError(f"has no format {FORMAT}")
        found = _judgement(report, name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"--votes: {path} is no report of `unikat votes report`: {error}") from error
    if not found.liked and not found.taken:
        raise TrainingError(f"--votes: {path} says nothing of {name}: nobody voted on a version of it")
    return found


def _judgement(report: dict[str, Any], name: str) -> Judgement:
    groups = [group["entries"] for group in report["like"]["groups"]]
    own = [group for group in groups if any(_is_of(each, name) for each in group)]
    liked = [
        (_title(each), _told(each["preferred"], each["preferred_interval"]), f"{each['votes']:,}")
        for group in own
        for each in group
    ]
    taken = [
        (_title(each), _told(each["taken"]["value"], each["taken"]["interval"]), f"{each['taken']['answers']:,}")
        for each in report["artist"]["entries"]
        if _is_of(each, name)
    ]
    return Judgement(liked, taken, _counted(report))


def _counted(report: dict[str, Any]) -> str:
    voters, votes = report["voters"], report["votes"]
    agreements = [
        f"{_told(found['value'], found['interval'])} of repeated pairs on {asked} were answered as before"
        for asked, found in (
            ("what is liked", report["like"]["agreement"]),
            ("the artist", report["artist"]["agreement"]),
        )
        if found
    ]
    told = f" {'; '.join(agreements)}." if agreements else ""
    return (
        f"{votes['counted']:,} answers of {voters['counted']:,} people to pairs that were shown blind; "
        f"{voters['failed_controls']:,} people failed the controls, {voters['too_few_controls']:,} answered too few, "
        f"and do not count.{told} In brackets: {report['level']:.0%} intervals over voters. Ranked are versions and "
        "truncations, not single works."
    )


def _is_of(entry: dict[str, Any], name: str) -> bool:
    return "model" in entry and parse_reference(entry["model"])[0] == name


def _title(entry: dict[str, Any]) -> str:
    if "model" not in entry:
        return "the artist's pictures"
    return f"{entry['model']}, truncation {float(entry['truncation']):g}"


def _told(share: float, interval: Interval) -> str:
    if interval is None:
        return f"{share:.0%} (too few voters for an interval)"
    low, high = interval
    return f"{share:.0%} ({low:.0%} to {high:.0%})"
