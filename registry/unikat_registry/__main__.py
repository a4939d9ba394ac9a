"""The program: `python -m unikat_registry`, for process supervisors; people type `unikat registry`."""

import sys
from dataclasses import dataclass, field

import typer

from unikat.cli.problems import Problem
from unikat.settings import command_of, ungrouped
from unikat_registry import upkeep
from unikat_registry.server import serve
from unikat_registry.settings import Settings


@dataclass(frozen=True)
class Serving(Settings):
    """The settings, and whether a command follows them."""

    context: typer.Context = field(kw_only=True)


def run(settings: Serving) -> None:
    """Serve claims of artworks over gRPC: draw, check, enter into the log, verify pictures; back up and restore."""
    if settings.context.invoked_subcommand is None:
        raise typer.Exit(serve(settings))
    for name in settings.context.params:
        source = settings.context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"--{name.replace('_', '-')}: what a command is told goes behind its name")


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.callback(invoke_without_command=True)(command_of(Serving, run))
for command in (upkeep.backup, upkeep.restore, upkeep.recover, upkeep.erase):
    app.command()(ungrouped(command))


def main() -> None:
    """Run the program."""
    try:
        app(prog_name="python -m unikat_registry")
    except Problem as problem:
        problem.show()
        sys.exit(problem.code)


if __name__ == "__main__":
    main()
