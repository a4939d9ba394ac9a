"""The program: `python -m unikat_service`, for process supervisors; people type `unikat serve`."""

import typer

from unikat.settings import command_of
from unikat_service.server import serve
from unikat_service.settings import Settings


def run(settings: Settings) -> None:
    """Serve the studio over gRPC: check requests, enqueue jobs, stream images back."""
    raise typer.Exit(serve(settings))


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(command_of(Settings, run))

if __name__ == "__main__":
    app(prog_name="python -m unikat_service")
