"""Presets: settings that belong together, one TOML file each, every value explained there."""

import tomllib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import get_args

from unikat_training.config import SETTINGS, Config
from unikat_training.errors import TrainingError

Table = dict[str, object]
SECTIONS = ("description", "common", "px")
DEFAULT = "projected"


@cache
def preset_names() -> list[str]:
    names = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def preset_text(name: str) -> str:
    """The file of a preset as it was written. Raises TrainingError for an unknown name."""
    return preset_file(name).read_text(encoding="utf-8")


def preset_file(name: str) -> Traversable:
    if name not in preset_names():
        raise TrainingError(f"preset: must be one of {', '.join(preset_names())}, not {name!r}")
    return files(__name__) / f"{name}.toml"


def preset_description(name: str) -> str:
    return str(tomllib.loads(preset_text(name))["description"])


def load_preset(name: str, resolution: int) -> Config:
    """The settings of a preset for images of `resolution` pixels a side; those of no size where it names none."""
    file = preset_file(name)
    return parse_preset(name, file.read_text(encoding="utf-8"), resolution, str(file))


def parse_preset(name: str, text: str, resolution: int, where: str) -> Config:
    """Settings from the text of a preset. Raises TrainingError, naming file `where` and key, for what cannot be."""
    chosen = settings_of(text, resolution, where)
    try:
        return Config(**{"preset": name, **chosen})  # type: ignore[arg-type]  # `checked` compared each value's type
    except TrainingError as error:
        raise TrainingError(f"{where}: {error}") from error


def preset_settings(name: str, resolution: int) -> Table:
    """What a preset itself says for images of `resolution` pixels a side, and nothing else."""
    file = preset_file(name)
    return settings_of(file.read_text(encoding="utf-8"), resolution, str(file))


def settings_of(text: str, resolution: int, where: str) -> Table:
    try:
        document: Table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"{where}: is not TOML: {error}") from error
    refuse_unknown(where, document, SECTIONS)
    sizes = as_table(where, "px", document.get("px", {}))
    tables = {"common": document.get("common", {}), f"px.{resolution}": sizes.get(str(resolution), {})}
    chosen: Table = {}
    for section, table in tables.items():
        chosen |= checked(f"{where}: [{section}]", as_table(where, section, table))
    return chosen


def as_table(where: str, name: str, value: object) -> Table:
    if not isinstance(value, dict):
        raise TrainingError(f"{where}: {name} must be a table, not {value!r}")
    return value


def checked(where: str, table: Table) -> Table:
    """The table, if every key is a setting and every value of its type."""
    refuse_unknown(where, table, sorted(set(SETTINGS) - {"preset"}))
    out: Table = {}
    for name, value in table.items():
        kind, choices = SETTINGS[name][0], get_args(SETTINGS[name][0])
        if choices:
            if value not in choices:
                raise TrainingError(f"{where} {name}: must be one of {', '.join(choices)}, not {value!r}")
        elif kind is float and type(value) is int:
            value = float(value)
        elif type(value) is not kind:
            raise TrainingError(f"{where} {name}: must be {kind.__name__}, not {value!r}")
        out[name] = value
    return out


def refuse_unknown(where: str, table: Table, known: tuple[str, ...] | list[str]) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise TrainingError(f"{where} unknown {', '.join(unknown)}; known are {', '.join(known)}")
