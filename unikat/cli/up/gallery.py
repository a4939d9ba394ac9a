"""The gallery of `unikat up`: where it listens, and what it runs with."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

from unikat.cli.problems import Problem
from unikat.cli.up.process import Program
from unikat.cli.up.stack import GALLERY, Settings, free_address, python_program

NO_GALLERY: Final = "none"
USUAL: Final = "127.0.0.1:8080"


def address(given: str | None, say: Callable[[str], None]) -> str:
    """Where the gallery listens: as given, else on this machine at port 8080, or at another, which `say` is told.

    "" is nowhere: it is left out where its extra is not installed. Raises Problem for an address that it cannot have.
    """
    installed = all(find_spec(module) for module in ("starlette", "uvicorn", "sqlalchemy", "segno", "unikat_gallery"))
    if given == NO_GALLERY or not (installed or given):
        return ""
    if not installed:
        raise Problem("--gallery: it is not installed", "Install it: pip install 'unikat[gallery]'")
    if given:
        return free_address(given)
    try:
        return free_address(USUAL)
    except Problem:
        say(f"{USUAL} is taken: the gallery takes another port")
        return free_address("127.0.0.1:0")


def program(settings: Settings) -> Program:
    """The gallery, a client of the service and of the registry, if there is one; its database is in the data folder."""
    environment = os.environ | {
        "UNIKAT_GALLERY_LISTEN": settings.gallery,
        "UNIKAT_GALLERY_DATABASE": str(settings.data.resolve() / GALLERY / "gallery.db"),
        "UNIKAT_TARGET": settings.listen,
        "UNIKAT_METRICS": settings.metrics_of(GALLERY),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.registry:  # else one elsewhere, where the environment names it
        environment["UNIKAT_REGISTRY"] = settings.registry
    return python_program(GALLERY, GALLERY, environment, settings.logs)
