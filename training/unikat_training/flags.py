"""Settings that are declared once, as fields of a dataclass, become flags of commands."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

Settings = TypeVar("Settings")
Given = int | float | bool | str | list[int] | list[str] | None


def declared(kind: type) -> dict[str, Any]:
    """Of each annotated field of a settings class its type, its Typer option, and what else: (type, option, …)."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Annotated}


def flags_of(kind: type, shown: Callable[[str, object], str | bool]) -> list[inspect.Parameter]:
    """A flag for each annotated field of a settings class, None where it is not given; tuples are repeatable.

    `shown` of a field's name and default is what `--help` says of the latter.
    """
    flags, said = [], declared(kind)
    for field in fields(kind):
        if field.name not in said:
            continue
        base, option = said[field.name][0], copy.copy(said[field.name][1])
        if not isinstance(option.show_default, str):
            option.show_default = shown(field.name, field.default)
        if get_origin(base) is tuple:
            base = list[get_args(base)[0]]  # type: ignore[misc]  # a type known only at run time
        flag = Annotated[base | None, option]  # type: ignore[valid-type]  # a type known only at run time
        flags.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=flag))
    return flags


def changed(settings: Settings, given: Mapping[str, Given]) -> Settings:
    """`settings` with those of its fields that were given as flags."""
    names = {field.name for field in fields(settings)}  # type: ignore[arg-type]  # any dataclass
    # Any: Typer has checked each value against its field's type
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name in names and value is not None
    }
    return replace(settings, **chosen)  # type: ignore[type-var]


def with_flags(command: Callable[..., None], flags: list[inspect.Parameter]) -> Callable[..., None]:
    """`command` with its `**given` spelled out, which is what Typer reads."""
    signature = inspect.signature(command, eval_str=True)
    spelled = [parameter for parameter in signature.parameters.values() if parameter.name != "given"] + flags
    command.__signature__ = signature.replace(parameters=spelled)  # type: ignore[attr-defined]  # inspect honours it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in spelled}
    return command
