"""What a ModelInfer request asks for: a GenerateRequest, which is checked and queued like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.rpc.error_details_pb2 import BadRequest

from unikat.conditions import FieldError, choose_from, is_finite
from unikat.errors import InvalidRequest, UnikatError, error_of
from unikat.inference import open_inference_pb2 as pb
from unikat.json_text import parse_json
from unikat.recipes.messages import recipe_message
from unikat.recipes.text import parse_mix
from unikat.request import conditions_of, format_of, originality_of, whole
from unikat.statuses import invalid
from unikat.v1.studio_pb2 import Condition, GenerateRequest
from unikat_service.open_inference.tensors import IMAGE, INPUTS, OUTPUTS, SHAPE, Datatype, elements_of
from unikat_service.requests import check_limits

Tensor = pb.ModelInferRequest.InferInputTensor
Parameters = Mapping[str, pb.InferParameter]

# Fields of a GenerateRequest that callers of this protocol know by another name.
_NAMES: Final = {"model": "model_name", "first_index": "index"}


@dataclass(frozen=True)
class Asked:
    """What is to be drawn, and the names of the outputs, in the order in which they were asked for."""

    request: GenerateRequest
    outputs: tuple[str, ...]


def read(request: pb.ModelInferRequest) -> Asked:
    """Raises UnikatError (INVALID_ARGUMENT) that names every input, output and parameter which is wrong."""
    problems: list[FieldError] = []
    asked = GenerateRequest(model=reference(request.model_name, request.model_version), count=1)
    for name, value in _values(request, problems):
        _take(problems, lambda name=name, value=value: _SETTERS[name](asked, value))  # type: ignore[misc]  # no Any
    for name, parameter in sorted(request.parameters.items()):
        _take(problems, lambda name=name, parameter=parameter: _set_parameter(asked, name, parameter))  # type: ignore[misc]
    outputs = _outputs(request, problems)
    if problems:
        raise invalid(problems)
    check_limits(asked)
    return Asked(asked, outputs)


def reference(name: str, version: str) -> str:
    """ "name" or "name@version", as the rest of the service has it."""
    return f"{name}@{version}" if version else name


def renamed(error: UnikatError) -> UnikatError:
    """The error with its fields as callers of this protocol know them."""
    status = type(error.status)()
    status.CopyFrom(error.status)
    for detail in status.details:
        bad = BadRequest()
        if not detail.Unpack(bad):
            continue
        for violation in bad.field_violations:
            name = _NAMES.get(violation.field, violation.field)
            status.message = status.message.replace(f"{violation.field}: ", f"{name}: ", 1)
            violation.field = name
        detail.Pack(bad)
    return error_of(status)


def _take(problems: list[FieldError], work: Callable[[], None]) -> None:
    """Do it, and keep what is wrong."""
    try:
        work()
    except FieldError as problem:
        problems.append(problem)
    except InvalidRequest as error:  # of what Python's client has in common
        problems += [FieldError(*each) for each in error.fields.items()]


def _values(request: pb.ModelInferRequest, problems: list[FieldError]) -> Iterator[tuple[str, Any]]:
    """Name and element of each input that is right."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        problems.append(
            FieldError("raw_input_contents", f"must be one an input: {len(request.inputs)}, not {len(raw)}")
        )
        return
    seen: set[str] = set()
    for i, tensor in enumerate(request.inputs):
        try:
            _check_name(tensor.name, f"inputs[{i}].name", INPUTS, seen)
            _refuse_parameters(tensor.parameters, f"inputs[{tensor.name}]")
            yield tensor.name, _element(tensor, raw[i] if raw else None)
        except FieldError as problem:
            problems.append(problem)


def _check_name(name: str, field: str, known: Iterable[str], seen: set[str]) -> None:
    if name not in known:
        raise FieldError(field, f'there is no "{name}"; {choose_from(known, name)}')
    if name in seen:
        raise FieldError(field, f'"{name}" is there twice')
    seen.add(name)


def _refuse_parameters(parameters: Parameters, field: str) -> None:
    if parameters:
        raise FieldError(f"{field}.parameters[{min(parameters)}]", "there is no such parameter: a tensor has none")


def _element(tensor: Tensor, raw: bytes | None) -> Any:  # noqa: ANN401  # of the input's type
    """The one element of a tensor. Raises FieldError."""
    field, datatype = f"inputs[{tensor.name}]", INPUTS[tensor.name]
    if tensor.datatype != datatype.name:
        raise FieldError(f"{field}.datatype", f'must be {datatype.name}, not "{tensor.datatype}"')
    if tuple(tensor.shape) != SHAPE:
        raise FieldError(f"{field}.shape", f"must be {list(SHAPE)}, not {list(tensor.shape)}")
    if raw is None:
        found = _contents(tensor, datatype, field)
    elif tensor.HasField("contents"):
        raise FieldError(f"{field}.contents", "must be left out where there are raw_input_contents")
    else:
        found = elements_of(raw, datatype, field)
    if len(found) != 1:
        raise FieldError(field, f"must have one element, as its shape says, not {len(found)}")
    return _text(found[0], field) if isinstance(found[0], bytes) else found[0]


def _contents(tensor: Tensor, datatype: Datatype, field: str) -> list[Any]:
    for descriptor, _ in tensor.contents.ListFields():
        if descriptor.name != datatype.contents:
            wanted = f"contents.{datatype.contents}"
            raise FieldError(f"{field}.contents", f"of {datatype.name} must be in {wanted}, not {descriptor.name}")
    return list(getattr(tensor.contents, datatype.contents))


def _text(data: bytes, field: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FieldError(field, f"must be UTF-8: {error.reason} at byte {error.start}") from error


def _set_conditions(request: GenerateRequest, text: str) -> None:
    request.conditions.extend(_conditions(text))


def _conditions(text: str) -> list[Condition]:
    """`{"style": "micah", "mood": {"happy": 0.7, "calm": 0.3}}` as messages. Raises FieldError and InvalidRequest."""
    form = 'must be a JSON object such as {"style": "micah", "mood": {"happy": 0.7, "calm": 0.3}}'
    try:
        where = parse_json(text)
    except ValueError as error:
        raise FieldError("conditions", f"{form}: {error}") from error
    if not isinstance(where, dict):
        raise FieldError("conditions", form)
    for i, (name, of) in enumerate(where.items()):
        wrong = [category for category, weight in of.items() if not is_finite(weight)] if isinstance(of, dict) else []
        if wrong:
            raise FieldError(f"conditions[{i}].blend.weights[{wrong[0]}]", f"must be a finite number, of {name}")
    return conditions_of(where)


def _set_recipe(request: GenerateRequest, text: str) -> None:
    try:
        mix = parse_mix(text)
    except ValueError as error:
        raise FieldError("recipe", str(error)) from error
    request.recipe.CopyFrom(recipe_message(mix))


def _set_field(field: str) -> Callable[[GenerateRequest, Any], None]:
    return lambda request, value: setattr(request, field, value)


_SETTERS: Final[dict[str, Callable[[GenerateRequest, Any], None]]] = {
    "seed": _set_field("seed"),
    "index": _set_field("first_index"),
    "count": _set_field("count"),
    "conditions": _set_conditions,
    "recipe": _set_recipe,
    "truncation": _set_field("truncation"),
    "background": _set_field("background"),
}
# Parameters: the type of each, and what makes the field of the same name of it.
_PARAMETERS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "format": ("string_param", format_of),
    "originality": ("string_param", originality_of),
    "attempt": ("int64_param", lambda value: whole("attempt", value)),
    "request_id": ("string_param", str),
}


def _set_parameter(request: GenerateRequest, name: str, parameter: pb.InferParameter) -> None:
    if name not in _PARAMETERS:
        raise FieldError(f"parameters[{name}]", f"there is no such parameter; {choose_from(_PARAMETERS, name)}")
    kind, made = _PARAMETERS[name]
    given = parameter.WhichOneof("parameter_choice")
    if given != kind:
        raise FieldError(f"parameters[{name}]", f"must be {kind}, not {given or 'empty'}")
    setattr(request, name, made(getattr(parameter, kind)))


def _outputs(request: pb.ModelInferRequest, problems: list[FieldError]) -> tuple[str, ...]:
    seen: set[str] = set()
    for i, output in enumerate(request.outputs):
        try:
            _check_name(output.name, f"outputs[{i}].name", OUTPUTS, seen)
            _refuse_parameters(output.parameters, f"outputs[{output.name}]")
        except FieldError as problem:
            problems.append(problem)
    return tuple(output.name for output in request.outputs) or (IMAGE,)
