"""Settings of a program: fields of a dataclass, each with its flag, environment variable, unit, default and reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import field, fields
from functools import partial
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

S = TypeVar("S")


def setting(
    default: object,
    help: str,
    *,
    min: float | None = None,
    max: float | None = None,
    exists: bool = False,
    variable: str = "",
) -> Any:  # noqa: ANN401  # as `field`
    """A field that is an option: `max_queue` is --max-queue and UNIKAT_MAX_QUEUE, or UNIKAT_<variable>."""
    option = partial(typer.Option, help=help, min=min, max=max, exists=exists)
    return field(default=default, metadata={"option": option, "variable": variable})


def command_of(settings: type[S], run: Callable[[S], None]) -> Callable[..., None]:
    """A Typer command that runs with the settings that flags and environment give.

    A field that `setting` did not make is declared as a parameter of a command is, by its `Annotated`.
    """
    signature, hints = inspect.signature(settings), get_type_hints(settings, include_extras=True)
    for each in fields(settings):  # type: ignore[arg-type]  # a dataclass: no type says so of a class
        if each.metadata:
            variable = f"UNIKAT_{each.metadata['variable'] or each.name.upper()}"
            hints[each.name] = Annotated[hints[each.name], each.metadata["option"](envvar=variable)]

    def command(**values: Any) -> None:  # noqa: ANN401  # Typer checked them against the fields
        run(settings(**values))

    command.__doc__ = run.__doc__
    # Typer reads both: the signature for the defaults, the annotations for the types.
    parameters = [parameter.replace(annotation=hints[name]) for name, parameter in signature.parameters.items()]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # PEP 362 allows it
    command.__annotations__ = hints
    return command
