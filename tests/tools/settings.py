"""docs/settings.md from the declarations of all programs: `python -m tests.tools.settings > docs/settings.md`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Final, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo

from unikat import cli
from unikat_gallery.__main__ import app as gallery
from unikat_gallery.votes.command import app as votes
from unikat_registry.__main__ import app as registry
from unikat_service.__main__ import app as serve
from unikat_worker.__main__ import app as work

INTRODUCTION: Final = """\
# Settings

Every setting of every program, from the declarations in the code. A flag goes before its environment variable, which
goes before the default. `unikat up` hands its environment on to the service and the workers that it starts.
"""
_TYPES: Final = {int: "whole number", float: "number", str: "text", Path: "path", bool: "switch"}


def document() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, declared in _programs():
        rows = list(_rows(declared))
        if rows:
            parts.append(f"## `{title}`\n\n{_summary(declared)}\n\n{_table(rows)}")
    return "\n".join(parts)


def _programs() -> Iterator[tuple[str, Callable[..., object]]]:
    yield from _commands("unikat", cli.app)
    programs = {"serve": serve, "work": work, "gallery": gallery}
    for title, app in programs.items():
        (command,) = app.registered_commands
        assert command.callback is not None
        yield f"unikat {title}", command.callback
    yield from _group("unikat registry", registry)
    yield from _commands("unikat", votes)


def _commands(name: str, app: typer.Typer) -> Iterator[tuple[str, Callable[..., object]]]:
    for command in app.registered_commands:
        if command.callback is not None:
            yield f"{name} {command.name or command.callback.__name__}", command.callback
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _group(f"{name} {group.name}", group.typer_instance)


def _group(name: str, app: typer.Typer) -> Iterator[tuple[str, Callable[..., object]]]:
    if app.registered_callback is not None and app.registered_callback.callback is not None:
        yield name, app.registered_callback.callback
    yield from _commands(name, app)


def _summary(declared: Callable[..., object]) -> str:
    return (inspect.getdoc(declared) or "").partition("\n\n")[0].replace("\n", " ")


def _rows(declared: Callable[..., object]) -> Iterator[tuple[str, ...]]:
    hints = get_type_hints(declared, include_extras=True)
    for name, parameter in inspect.signature(declared).parameters.items():
        option = _option(hints[name])
        if option is not None:
            kind = get_args(hints[name])[0]
            variable = f"`{option.envvar}`" if option.envvar else ""
            help_text = " ".join((option.help or "").split())
            yield _flags(name, kind, option), variable, _type(kind), _default(parameter.default), help_text


def _option(hint: object) -> OptionInfo | None:
    if get_origin(hint) is not Annotated:
        return None
    return next((part for part in get_args(hint) if isinstance(part, OptionInfo)), None)


def _flags(name: str, kind: object, option: OptionInfo) -> str:
    flag = "--" + name.replace("_", "-")
    switch = (flag, f"--no-{flag[2:]}") if kind is bool else (flag,)
    # Inside Annotated, Typer keeps the first declared name where the default would be.
    declared = [each for each in (option.default, *(option.param_decls or ())) if isinstance(each, str)]
    return ", ".join(f"`{each}`" for each in (declared or switch))


def _type(kind: object) -> str:
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_type(part) for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) is list:
        return f"{_type(get_args(kind)[0])}, repeatable"
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    return _TYPES[kind]  # type: ignore[index]  # a KeyError names the type that is not described yet


def _default(value: object) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    shown = value.value if isinstance(value, Enum) else value
    if isinstance(shown, bool):
        return "on" if shown else ""
    return "" if shown in (None, "") else f"`{shown}`"


def _table(rows: list[tuple[str, ...]]) -> str:
    head = ("flag", "environment", "type", "default", "meaning")
    lines = [head, ("---",) * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("<", "\\<") for cell in line) + " |\n" for line in lines
    )


if __name__ == "__main__":
    print(document(), end="")
