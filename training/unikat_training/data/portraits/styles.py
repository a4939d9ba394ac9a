"""The fourteen styles: what their packages call skin, hair and glasses, and under which licence they may be used."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from unikat_training.data.dataset import Source
from unikat_training.errors import DatasetError

PACKAGE: Final = "dicebear-styles"
# SPDX expressions of what the styles' own definitions call their licences. Styles with other ones are not drawn.
LICENCES: Final = {"CC0 1.0": "CC0-1.0", "CC BY 4.0": "CC-BY-4.0"}

Options = dict[str, list[str]]


@dataclass(frozen=True)
class Part:
    """A component of a style and its variants by category; no variants: any of them."""

    component: str
    variants: Options = field(default_factory=dict)

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Part:
        return cls(table["component"], {name: list(found) for name, found in table.items() if name != "component"})


@dataclass(frozen=True)
class Style:
    """One illustrator's style; `styles.toml` explains the fields."""

    name: str
    window: tuple[float, float, float]
    skin: str
    hair: Part
    mood: Part
    hair_colour: str = ""
    beard_colour: str = ""
    glasses_colour: str = ""
    clothes_colour: str = ""
    hat: str = ""
    glasses: Part | None = None
    facial_hair: Part | None = None
    brows: Part | None = None
    tinted: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    fixed: Options = field(default_factory=dict)

    @property
    def moods(self) -> tuple[str, ...]:
        return tuple(self.mood.variants)

    @property
    def hairs(self) -> tuple[str, ...]:
        return tuple(self.hair.variants)

    @property
    def spectacles(self) -> tuple[str, ...]:
        """The categories of glasses; "none" is one of every style."""
        return tuple(dict.fromkeys(("none", *(self.glasses.variants if self.glasses else ()))))


@cache
def styles() -> dict[str, Style]:
    """All styles by name, in the order of `styles.toml`."""
    document = tomllib.loads(files(__package__).joinpath("styles.toml").read_text("utf-8"))
    return {name: _style(name, table) for name, table in document.items()}


def _style(name: str, table: dict[str, Any]) -> Style:
    # Any: what TOML holds; a wrong table would not make a Style
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    for key in ("hair", "mood", "glasses", "facial_hair", "brows"):
        if key in values:
            values[key] = Part.of(values[key])
    return Style(name, **values)


@cache
def definition(name: str) -> dict[str, Any]:
    """A style's own definition. Raises DatasetError when its package is missing or its licence is not an open one."""
    try:
        text = files("dicebear_styles").joinpath(f"{name}.json").read_text("utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise DatasetError(f"the style {name} is not there: pip install 'unikat[training]' ({error})") from error
    found: dict[str, Any] = json.loads(text)
    licence = found["meta"]["license"]["name"]
    if licence not in LICENCES:
        raise DatasetError(f"the style {name} is licensed under {licence!r}; allowed are {', '.join(LICENCES)}")
    return found


def source(name: str) -> Source:
    """Whose drawings they are, under which licence, as the package says it. Raises DatasetError as `definition`."""
    meta = definition(name)["meta"]
    return Source(name, f"{PACKAGE}=={version(PACKAGE)}", LICENCES[meta["license"]["name"]], meta["license"]["text"])
