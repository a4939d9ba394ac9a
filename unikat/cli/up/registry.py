"""The registry of `unikat up`: where it listens, and what it runs with."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Final

from unikat.cli.problems import Problem
from unikat.cli.up.process import Program
from unikat.cli.up.stack import REGISTRY, Settings, free_address, python_program

NO_REGISTRY: Final = "none"


def address(given: str | None, service: str) -> str:
    """Where the registry listens: as given, else on this machine, at the port after the service's or any; "": nowhere.

    It is left out where its extra is not installed. Raises Problem for an address that it cannot have.
    """
    installed = all(find_spec(module) for module in ("sqlalchemy", "alembic", "cryptography", "unikat_registry"))
    if given == NO_REGISTRY or not (installed or given):
        return ""
    if not installed:
        raise Problem("--registry: it is not installed", "Install it: pip install 'unikat[registry]'")
    if given:
        return free_address(given)
    try:
        return free_address(f"127.0.0.1:{int(service.rpartition(':')[2]) + 1}")
    except Problem:
        return free_address("127.0.0.1:0")


def program(settings: Settings) -> Program:
    """The registry, which draws as a client of the service; its database and key are in the data folder.

    The key is made where there is none. Raises Problem where it cannot be.
    """
    from unikat.key_file import add_key

    folder = settings.data.resolve() / REGISTRY
    key = folder / "log.key"
    try:
        if not key.exists():
            add_key(key, "first")
    except (OSError, ValueError) as error:
        raise Problem(f"{key}: {error}") from error
    environment = os.environ | {
        "UNIKAT_REGISTRY_LISTEN": settings.registry,
        "UNIKAT_REGISTRY_DATABASE": f"sqlite:///{folder / 'registry.db'}",
        "UNIKAT_REGISTRY_KEY": str(key),
        "UNIKAT_REGISTRY_LOG": str(folder / "log"),
        "UNIKAT_TARGET": settings.listen,
        "UNIKAT_METRICS": settings.metrics_of(REGISTRY),
        "PYTHONUNBUFFERED": "1",
    }
    return python_program(REGISTRY, REGISTRY, environment, settings.logs)
