"""The program: `python -m unikat_gallery`, for process supervisors; people type `unikat gallery`."""

import typer

from unikat.settings import command_of
from unikat_gallery.server import serve
from unikat_gallery.settings import Settings


def run(settings: Settings) -> None:
    """Serve the gallery: a site on which people look at drawings as they are made, keep and compare them."""
    raise typer.Exit(serve(settings))


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(command_of(Settings, run))

if __name__ == "__main__":
    app(prog_name="python -m unikat_gallery")
