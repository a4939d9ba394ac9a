"""What each input of a foreign graph is for: guessed by name, shape and kind, or told by --input."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from unikat_training.errors import TrainingError
from unikat_training.imported.foreign import FLOATS, INTEGERS, Shape, Value

Kind = Literal["latent", "condition", "index", "truncation"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MEANINGS = (
    "latent (numbers that are drawn), condition (one number a category), index (the number of a category), "
    "truncation (psi)"
)
LATENT = re.compile(r"latent|noise|^z$|^z[^a-z]|^input|^x", re.IGNORECASE)
CONDITION = re.compile(r"cond|label|class|categor|attr|one.?hot|^[cy]$", re.IGNORECASE)
TRUNCATION = re.compile(r"trunc|psi", re.IGNORECASE)


@dataclass(frozen=True)
class Input:
    """An input whose kind is known. `width` is the numbers an image, None where the graph does not say."""

    value: Value
    kind: Kind
    width: int | None

    @property
    def name(self) -> str:
        return self.value.name

    @property
    def is_shared(self) -> bool:
        """Whether it is a scalar, one for all images of a batch."""
        return len(self.value.shape) == 0 or self.value.shape == (1,)


def guess_inputs(values: Sequence[Value], latent: int | None, told: Mapping[str, Kind]) -> list[Input]:
    """The kind of every input; `latent` is the width of the latent, if it is known, `told` what --input says.

    Raises TrainingError, with what is there and how to say what it is, where a guess is not possible.
    """
    unknown = set(told) - {value.name for value in values}
    if unknown:
        raise TrainingError(f"--input: there is no {', '.join(sorted(unknown))}; {inputs_text(values)}")
    inputs = [typed(value, told.get(value.name) or guess(value, latent), latent) for value in values]
    named = [each for each in inputs if each.kind == "latent" and (LATENT.search(each.name) or each.name in told)]
    if len(named) == 1:  # of several that could be it
        others = [each for each in inputs if each.kind == "latent" and each not in named]
        inputs = [typed(each.value, "condition", None) if each in others else each for each in inputs]
    check_count(inputs, "latent", f" of {latent} numbers" if latent else "")
    if any(each.kind == "truncation" for each in inputs):
        check_count(inputs, "truncation", "")
    check_batch(inputs)
    for each in inputs:
        if each.kind == "latent" and each.width is None:
            raise TrainingError(f"--latent: say how many numbers {each.value} takes an image")
    return inputs


def check_count(inputs: Sequence[Input], kind: Kind, of: str) -> None:
    """Raises TrainingError unless exactly one input is of this kind."""
    found = sum(each.kind == kind for each in inputs)
    if found != 1:
        raise TrainingError(
            f"{found or 'none'} of the inputs can be the {kind}{of}; {inputs_text([each.value for each in inputs])}: "
            f"say which by --input NAME={kind}, and what the others are; KIND is one of {', '.join(KINDS)}"
        )


def inputs_text(values: Sequence[Value]) -> str:
    return f"the graph's inputs are {', '.join(map(str, values))}"


def guess(value: Value, latent: int | None) -> Kind:
    shape, width = value.shape, width_of(value.shape)
    if value.dtype in INTEGERS and (len(shape) == 1 or width == 1):
        return "index"
    if value.dtype in FLOATS:
        if TRUNCATION.search(value.name) and (len(shape) < 2 or width in (1, None)):
            return "truncation"
        if len(shape) == 4 and not is_flat(shape):
            raise TrainingError(
                f"input {value} looks like noise that is added to a layer: an image must be a function of its seed, so "
                "export the generator with constant noise (StyleGAN: noise_mode='const')"
            )
        if (width is not None and width > 1) or (len(shape) > 1 and width is None):
            differs = latent is not None and width is not None and width != latent
            return "condition" if CONDITION.search(value.name) or differs else "latent"
    raise TrainingError(f"input {value} could be anything: say --input {value.name}=KIND, where KIND is {MEANINGS}")


def is_flat(shape: Shape) -> bool:
    """(B, n) or (B, n, 1, 1)."""
    return len(shape) == 2 or (len(shape) == 4 and all(size in (1, None) for size in shape[2:]))


def width_of(shape: Shape) -> int | None:
    """Numbers an image; None where that is open."""
    sizes = shape[1:2] if is_flat(shape) else shape[1:]
    return None if None in sizes else prod(size or 0 for size in sizes)


def typed(value: Value, kind: Kind, latent: int | None) -> Input:
    """Raises TrainingError where an input cannot be of this kind."""
    width, rank = width_of(value.shape), len(value.shape)
    column = rank == 2 and width in (1, None)
    flat = is_flat(value.shape)
    fits, wants = {
        "latent": (flat and value.dtype in FLOATS, "floating-point (B, Z) or (B, Z, 1, 1)"),
        "condition": (flat and value.dtype in FLOATS | INTEGERS, "numbers (B, C) or (B, C, 1, 1)"),
        "index": ((rank == 1 or column) and value.dtype in INTEGERS, "whole numbers (B,) or (B, 1)"),
        "truncation": (rank < 2 or column, "one number, (B,) or (B, 1)"),
    }[kind]
    if not fits:
        raise TrainingError(f"--input: {value} cannot be the {kind}, which is {wants}")
    if kind == "latent":
        if latent is not None and width not in (latent, None):
            raise TrainingError(f"--latent: {value} takes {width} numbers an image, not {latent}")
        width = width or latent
    return Input(value, kind, width)


def check_batch(inputs: Sequence[Input]) -> None:
    """Raises TrainingError for a graph that draws so and so many images at a time, and no other number."""
    for each in inputs:
        size = None if each.is_shared else each.value.shape[0]
        if size not in (None, 1):
            raise TrainingError(
                f"input {each.value} is a batch of exactly {size}: export the generator with a dynamic batch "
                "(torch.onnx.export: dynamic_axes or dynamic_shapes), or a batch of 1"
            )


def parse_told(texts: Sequence[str]) -> dict[str, Kind]:
    """ "z=latent" to {"z": "latent"}. Raises TrainingError for another form."""
    told: dict[str, Kind] = {}
    for text in texts:
        name, _, kind = text.rpartition("=")
        known = next((each for each in KINDS if each == kind), None)
        if not name or known is None:
            raise TrainingError(f"--input: must be NAME=KIND, where KIND is {MEANINGS}, not {text!r}")
        told[name] = known
    return told
