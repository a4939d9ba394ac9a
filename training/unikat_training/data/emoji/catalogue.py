"""What each emoji is: its category, skin tone and name, from Emojibase's tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from unikat_training.data.emoji.packages import read_json

TONES: Final = ("none", "light", "medium-light", "medium", "medium-dark", "dark")

# category -> regular expression over Emojibase's subgroups. Signs, flags and letters are no drawings.
CATEGORIES: Final = {
    "face": r"face-.*|cat-face|monkey-face",
    "heart": r"heart",
    "person": r"person|person-(role|gesture|fantasy)",
    "action": r"person-(activity|sport|resting)",
    "hand": r"hand-.*|hands",
    "animal": r"animal-.*",
    "plant": r"plant-.*|food-(fruit|vegetable)",
    "food": r"food-(prepared|asian|sweet|marine)|drink|dishware",
    "place": r"place-(building|religious|geographic|other)|hotel",
    "vehicle": r"transport-(ground|water|air)",
    "sky": r"sky-weather",
    "play": r"event|award-medal|sport|game|arts-crafts",
    "clothing": r"clothing",
    "object": r"sound|music|musical-instrument|phone|computer|light-video|book-paper|money|mail|writing"
    r"|office|lock|tool|science|medical|household|other-object",
}

LEFT_OUT: Final = frozenset({"1f595"})  # an insult; nobody should be sent it by chance


@dataclass(frozen=True)
class Emoji:
    """One emoji as the data set labels it; `hexcode` is normalised."""

    hexcode: str
    category: str
    tone: str
    name: str


@dataclass
class Catalogue:
    """All emoji that have a category, and every name under which one is known."""

    emoji: dict[str, Emoji] = field(default_factory=dict)  # by normalised hexcode
    hexcodes: dict[str, str] = field(default_factory=dict)  # normalised name -> normalised hexcode

    def find(self, name: str) -> str | None:
        """The hexcode for a drawing's name, however it is spelled."""
        return self.hexcodes.get(normal_name(name))


def normal_hexcode(hexcode: str) -> str:
    """Lower case, without the variation selector, which designers write or leave out as they like."""
    return re.sub(r"-fe0f", "", hexcode.lower())


def normal_name(name: str) -> str:
    """Lower case letters and digits only."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_left_out(hexcode: str) -> bool:
    """True for an emoji that is left out on purpose, in any skin tone."""
    return hexcode.split("-")[0] in LEFT_OUT


def read_catalogue(tarball: Path) -> Catalogue:
    """Reads Emojibase's package."""
    rows, groups, old_names = read_json(tarball, "en/data.json", "meta/groups.json", "meta/unicode-names.json")
    catalogue = Catalogue()
    for row in rows:
        subgroup = groups["subgroups"].get(str(row.get("subgroup")), "")
        category = next((c for c, pattern in CATEGORIES.items() if re.fullmatch(pattern, subgroup)), "")
        old_name = old_names.get(row["hexcode"], "")
        for emoji in _variants(row, category):
            if category:
                catalogue.emoji[emoji.hexcode] = emoji
            suffix = emoji.name.removeprefix(row["label"])
            for name in (emoji.name, f"{old_name}{suffix}" if old_name else ""):
                if name:
                    catalogue.hexcodes.setdefault(normal_name(name), emoji.hexcode)
    return catalogue


def _variants(row: dict[str, Any], category: str) -> Iterator[Emoji]:
    yield Emoji(normal_hexcode(row["hexcode"]), category, TONES[0], row["label"])
    for skin in row.get("skins", ()):
        if isinstance(skin["tone"], int):  # a list: a couple of two tones, which no single label describes
            tone = TONES[skin["tone"]]
            yield Emoji(normal_hexcode(skin["hexcode"]), category, tone, f"{row['label']} {tone} skin tone")
