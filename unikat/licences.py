"""What the licences of a model and of its training pictures ask of whoever shows, shares or sells a drawing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from unikat.v1.model_pb2 import Model

_NOTHING: Final = "nothing"
_NOTICE: Final = "to keep its notice with copies of the work itself; nothing of a drawing"
_NAME: Final = "to name the creators, link the licence and say what was changed, wherever a drawing is shared or sold"
# By the beginning of an SPDX expression; the first that fits.
_ASKS: Final = (
    ("CC0-", _NOTHING),
    ("CC-BY-NC", "not to use a drawing commercially, and to name the creators"),
    ("CC-BY-ND", "not to share what was changed: ask its creators"),
    ("CC-BY-SA", f"{_NAME}, and to share it under the same licence"),
    ("CC-BY", _NAME),
    ("MIT", _NOTICE),
    ("Apache-2.0", _NOTICE),
    ("BSD-", _NOTICE),
)


def asks(model: Model) -> list[str]:
    """A line for each licence: whose it is, and what it asks.

    Creators may see a drawing as an adaptation of their pictures; who does what the pictures' licences ask is safe
    either way.
    """
    pictures = Counter(source.licence for source in model.sources)
    lines = []
    weights = model.licence.split(" AND ")  # of a model that began from another: both licences hold
    for licence in dict.fromkeys([*weights, *pictures]):
        whose = ["the weights"] * (licence in weights)
        if pictures[licence]:
            whose.append(f"{pictures[licence]} of {len(model.sources)} sources of training pictures")
        asked = _asked(licence)
        lines.append(f"{licence or 'no licence named'} ({', '.join(whose)}) asks {asked}")
    return lines


def asks_briefly(model: Model) -> list[str]:
    """A line for each thing that is asked, with the licences that ask it; none for what asks nothing."""
    licences: dict[str, list[str]] = {}
    for licence in dict.fromkeys([*model.licence.split(" AND "), *(source.licence for source in model.sources)]):
        licences.setdefault(_asked(licence), []).append(licence or "no licence named")
    return [f"{', '.join(whose)}: {asked}" for asked, whose in licences.items() if asked != _NOTHING] or [
        f"{', '.join(licences[_NOTHING])}: nothing is asked"
    ]


def _asked(licence: str) -> str:
    return next((text for start, text in _ASKS if licence.startswith(start)), "what its text says: read it")


def credits(model: Model) -> str:
    """The text to put beside a drawing that is shared or sold: who is to be named."""
    named = [source for source in model.sources if source.credit and source.licence.startswith("CC-BY")]
    whose = f"by {model.author}" if model.author else "of Unikat"
    lines = [f"Drawn by the model {model.name}@{model.version} ({model.licence}) {whose}."]
    if named:
        lines += ["It was trained on:", *(f"- {source.credit} [{source.licence}]" for source in named)]
    return "\n".join(lines)
