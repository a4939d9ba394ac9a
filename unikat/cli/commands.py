"""Commands of `unikat` that other packages bring: entry points, loaded when they run.

An entry point names a `Command` in a module that imports neither the package's own work nor anything that an extra
installs, so that `unikat --help` lists it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

import typer
from typer.core import TyperCommand, TyperGroup

from unikat.cli.problems import Problem

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand  # Typer has no public name for these types
    from typer._click import Context

PROGRAM: Final = "unikat"
MODELS: Final = "unikat models"
GROUPS: Final = {PROGRAM: "unikat.commands", MODELS: "unikat.commands.models"}  # words before a command -> entry points
_OURS: Final = "unikat"  # and unikat_service, …: their import errors are defects, not packages to install


@dataclass(frozen=True)
class Command:
    """What an entry point names.

    `help` is the line of `unikat --help`; `extras` are those of the distribution of which one brings what the command
    needs; `load` imports the program that the command, or the one of its name in a group, is taken from.
    """

    help: str
    extras: tuple[str, ...]
    load: Callable[[], typer.Typer]


class Placeholder(TyperCommand):
    """Listed by name and help; `loaded` is the command itself."""

    def __init__(self, name: str, command: Command, words: str) -> None:
        super().__init__(name, help=command.help)
        self._name = name
        self._words = words
        self._command = command

    def loaded(self) -> AnyCommand:
        """Raises Problem where a package that one of the extras brings is missing."""
        try:
            app = self._command.load()
        except ImportError as error:
            if error.name is None or error.name.partition(".")[0].partition("_")[0] == _OURS:
                raise
            wanted = " or ".join(f"pip install 'unikat[{extra}]'" for extra in self._command.extras)
            raise Problem(
                f"`{self._words} {self._name}` cannot be loaded: {error}", f"Install what it needs: {wanted}"
            ) from error
        program = typer.main.get_command(app)
        return program.commands[self._name] if isinstance(program, TyperGroup) else program


class Commands(TyperGroup):
    """The commands declared here, then those that entry points bring."""

    words = PROGRAM

    def list_commands(self, ctx: Context) -> list[str]:
        self.commands.update(
            {
                name: Placeholder(name, command, self.words)
                for name, command in found(self.words)
                if name not in self.commands
            }
        )
        return super().list_commands(ctx)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, AnyCommand | None, list[str]]:
        if args[0] not in self.commands:
            self.list_commands(ctx)
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.loaded() if isinstance(command, Placeholder) else command, rest


class ModelCommands(Commands):
    """The same of `unikat models`."""

    words = MODELS


def found(words: str = PROGRAM) -> Iterator[tuple[str, Command]]:
    """Name and command of the entry points of commands that begin with `words`, in alphabetical order.

    An image holds the package of its own program only: commands of packages that are not there are left out.
    """
    for entry in entry_points(group=GROUPS[words]):
        try:
            yield entry.name, entry.load()
        except ModuleNotFoundError as error:
            if error.name != entry.module.partition(".")[0]:
                raise
