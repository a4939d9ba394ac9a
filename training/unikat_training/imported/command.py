"""`unikat models import`: a generator of others, as ONNX, becomes a bundle."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from unikat.bundle import BundleError
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.terminal import Console
from unikat_training.errors import TrainingError
from unikat_training.imported.bundle import Request, import_generator
from unikat_training.imported.inputs import MEANINGS
from unikat_training.imported.original import Layout, Range

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command("import")
def import_model(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The generator, an ONNX file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The bundle to write: MODELS/NAME/VERSION, as in models/faces/1.")],
    range: Annotated[Range, typer.Option(help="The values of its output that are black and white.")],
    licence: Annotated[str, typer.Option(help="Licence of the weights, SPDX where it has a name there.")],
    author: Annotated[str, typer.Option(help="Who made it, as the licence wants to be credited.")],
    latent: Annotated[
        int | None, typer.Option(min=1, help="Numbers of the latent.", show_default="as the graph says")
    ] = None,
    layout: Annotated[
        Layout | None, typer.Option(help="Axes of its output.", show_default="where the channels are")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help='JSON: ["cat", "dog"], or {"animal": ["cat", "dog"], …}.', show_default="class-0, class-1, …"
        ),
    ] = None,
    input: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=KIND", help=f"What an input is, where the guess is wrong: {MEANINGS}."),
    ] = None,
    output: Annotated[str | None, typer.Option(help="Which output is the image, if there are several.")] = None,
    truncation: Annotated[
        float, typer.Option(help="Truncation where a request names none: 1 is full variety, less is more typical.")
    ] = Request.truncation,
    description: Annotated[str, typer.Option(help="A sentence for people.", show_default=False)] = "",
) -> None:
    """Make a bundle of an ONNX generator from elsewhere: wrapped, compared with the original, with a sheet and a card.

    What is guessed of the graph is printed. Pickles (.pt, .pkl) are not read.
    """
    console = Console(stderr=True)
    request = Request(
        path, out, licence, author, range, layout, latent, labels, tuple(input or ()), output, description, truncation
    )
    try:
        bundle = import_generator(request, lambda text: console.print(escape(text), soft_wrap=True, highlight=False))
    except (TrainingError, BundleError, FileExistsError) as error:
        raise Problem(str(error), code=BAD_INPUT) from error
    typer.echo(bundle.path)
