"""Settings of a program: fields of a dataclass, each with its flag, environment variable, unit, default and reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import field, fields, is_dataclass
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
    signature, hints = inspect.signature(settings), _options(settings)

    def command(**values: Any) -> None:  # noqa: ANN401  # Typer checked them against the fields
        run(settings(**values))

    parameters = [parameter.replace(annotation=hints[name]) for name, parameter in signature.parameters.items()]
    return ungrouped(_declared(command, run, parameters))


def ungrouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the fields of a dataclass as options of its own, for each parameter that is one."""
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    groups = {name: hints[name] for name in signature.parameters if is_dataclass(hints[name])}
    parameters = []
    for name, parameter in signature.parameters.items():
        inner = inspect.signature(groups[name]).parameters if name in groups else {name: parameter}
        types = _options(groups[name]) if name in groups else hints
        parameters += [each.replace(annotation=types[key]) for key, each in inner.items()]

    def flat(**values: Any) -> None:  # noqa: ANN401  # Typer checked them
        for name, group in groups.items():
            values[name] = group(**{each.name: values.pop(each.name) for each in fields(group)})
        command(**values)

    return _declared(flat, command, parameters)


def _options(settings: type) -> dict[str, Any]:
    """The types of a dataclass's fields, those of `setting` as options."""
    hints = get_type_hints(settings, include_extras=True)
    for each in fields(settings):
        if each.metadata:
            variable = f"UNIKAT_{each.metadata['variable'] or each.name.upper()}"
            hints[each.name] = Annotated[hints[each.name], each.metadata["option"](envvar=variable)]
    return hints


def _declared(
    command: Callable[..., None], like: Callable[..., None], parameters: list[inspect.Parameter]
) -> Callable[..., None]:
    """The command with name and text of another, and parameters as Typer reads them: defaults there, types here."""
    command.__name__, command.__doc__ = like.__name__, like.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # PEP 362 allows it
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
