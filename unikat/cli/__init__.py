"""The `unikat` command."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from importlib.metadata import version
from typing import Annotated, Final

import typer

from unikat.cli import control
from unikat.cli.animate import Order as AnimateOrder
from unikat.cli.animate import animate
from unikat.cli.batch import batches
from unikat.cli.certificate import certificate
from unikat.cli.claim import claim, transfer
from unikat.cli.commands import Commands, ModelCommands
from unikat.cli.credentials import credentials
from unikat.cli.decrypt import decrypt
from unikat.cli.demo import demo
from unikat.cli.doctor.command import doctor
from unikat.cli.generate import Order, generate
from unikat.cli.keys import keys
from unikat.cli.models import list_models, show_model
from unikat.cli.problems import FAILURE, Problem
from unikat.cli.series import series
from unikat.cli.sprites import Order as SpritesOrder
from unikat.cli.sprites import sprites
from unikat.cli.tokens import tokens
from unikat.cli.top.command import top
from unikat.cli.up.command import up
from unikat.cli.vary import Crossing, Variations, cross, vary
from unikat.cli.verify import verify
from unikat.observed import NotServed, traced
from unikat.settings import command_of, ungrouped

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One-of-a-kind artworks to order: draw them, serve them, look after what serves them.",
)
models = typer.Typer(cls=ModelCommands, help="What can be drawn: the models that a service offers.")
app.command()(up)
app.command("generate")(command_of(Order, generate))
app.command("vary")(ungrouped(command_of(Variations, vary)))
app.command("cross")(ungrouped(command_of(Crossing, cross)))
app.command("sprites")(command_of(SpritesOrder, sprites))
app.command("animate")(command_of(AnimateOrder, animate))
app.command()(ungrouped(series))
app.add_typer(models, name="models")
models.callback(invoke_without_command=True)(ungrouped(list_models))
models.command("show")(ungrouped(show_model))
for operation in (control.load, control.unload, control.pin, control.unpin, control.drain, control.history):
    models.command()(ungrouped(operation))
app.command()(ungrouped(verify))
app.command()(ungrouped(claim))
app.command()(ungrouped(certificate))
app.command()(ungrouped(transfer))
app.add_typer(batches, name="batch")
app.command()(decrypt)
app.add_typer(tokens, name="tokens")
app.add_typer(keys, name="keys")
app.add_typer(credentials, name="credentials")
app.command()(top)
app.command()(ungrouped(doctor))
app.command()(demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unikat {version('unikat')}")
        raise typer.Exit


@app.callback()
def _program(
    wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """One-of-a-kind artworks to order: draw them, serve them, look after what serves them."""


# What a person types to have something drawn or looked up; programs that serve have a span for each call instead.
_CALLING: Final = frozenset(
    (
        "generate", "vary", "cross", "sprites", "animate", "series", "models", "batch", "verify", "claim",
        "certificate", "transfer",
    )
)  # fmt: skip


def _run() -> None:
    command = next(iter(sys.argv[1:]), "")
    try:
        with ExitStack() as exits:
            if command in _CALLING and (tracer := exits.enter_context(traced("client"))) is not None:
                from unikat.traces import command_span  # with OpenTelemetry

                exits.enter_context(command_span(tracer, command))
            app()
    except NotServed as error:
        raise Problem(str(error)) from error


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 what was typed is wrong, 130 interrupted."""
    try:
        _run()
    except Problem as problem:
        problem.show()
        sys.exit(problem.code)
    except OSError as error:  # standard output is full; where its reader has left, Typer ends quietly
        where = "cannot write the output" if error.filename is None else error.filename
        Problem(f"{where}: {error.strerror or error}").show()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter tries once more at its end, and says so
        sys.exit(FAILURE)
    except KeyboardInterrupt:
        sys.exit(130)
