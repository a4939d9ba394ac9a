"""Settings of a program: fields of a dataclass, each with its flag, environment variable, unit, default and reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, field, fields
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

S = TypeVar("S")


def setting(default: object, help: str, *, variable: str = "", **checks: object) -> Any:  # noqa: ANN401  # as `field`
    """A field that is an option: `max_queue` is --max-queue and UNIKAT_MAX_QUEUE, or UNIKAT_<variable>.

    `checks` are those of `typer.Option`: min, max, exists.
    """
    return field(default=default, metadata={"variable": variable, "help": help, **checks})


def command_of(settings: type[S], run: Callable[[S], None]) -> Callable[..., None]:
    """A Typer command that runs with the settings that flags and environment give.

    A field that `setting` did not make is declared as a parameter of a command is, by its `Annotated`.
    """
    hints = get_type_hints(settings, include_extras=True)
    parameters = []
    for each in fields(settings):  # type: ignore[arg-type]  # a dataclass: no type says so of a class
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        kind = hints[each.name]
        if each.metadata:
            variable, checks = each.metadata["variable"] or each.name.upper(), dict(each.metadata)
            del checks["variable"]
            kind = Annotated[kind, typer.Option(envvar=f"UNIKAT_{variable}", **checks)]
        parameters.append(
            inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        )

    def command(**values: Any) -> None:  # noqa: ANN401  # Typer checked them against the fields
        run(settings(**values))

    command.__doc__ = run.__doc__
    # Typer reads both: the signature for the defaults, the annotations for the types.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362 allows it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
