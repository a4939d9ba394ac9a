"""What the conditions of a foreign graph are called, and where each stands in the condition vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, numpy_helper

from unikat.bundle import MAX_MANIFEST, read_bounded
from unikat.json_text import parse_json
from unikat.v1.model_pb2 import Attribute, Category, Combination
from unikat_training.errors import TrainingError
from unikat_training.imported.foreign import constants_of
from unikat_training.imported.inputs import Input

Labels = dict[str, list[str]]  # attribute -> its categories
Named = list[tuple[str, list[str]]]  # the same in their order
COMBINATIONS = 10_000  # that are written: all, or so many at random
PASSING = {"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"}  # what an index goes through to its table


@dataclass(frozen=True)
class Block:
    """An input takes the columns `start` to `stop` of the condition vector: those of some attributes."""

    input: Input
    start: int
    stop: int
    attributes: list[Attribute]


def load_labels(path: Path) -> Labels:
    """A list of categories is one attribute, "category"; an object holds a list for every attribute."""
    try:
        content = read_bounded(path, MAX_MANIFEST)
    except ValueError as error:
        raise TrainingError(f"--labels: {path}: {error}") from error
    return parse_labels(path, content)


def parse_labels(path: Path, content: bytes) -> Labels:
    """As `load_labels`, of the content of a file that is called `path`."""
    try:
        found = parse_json(content)
    except ValueError as error:
        raise TrainingError(f"--labels: {path}: is not JSON: {error}") from error
    labels = {"category": found} if isinstance(found, list) else found
    lists = list(labels.values()) if isinstance(labels, dict) else []
    if not lists or not all(isinstance(of, list) and of and all(isinstance(c, str) for c in of) for of in lists):
        raise TrainingError(
            f'--labels: {path}: must hold a list of categories, ["cat", "dog"], or an object with a list for every '
            'attribute, {"animal": ["cat", "dog"], "colour": ["red", "blue"]}'
        )
    return labels


def blocks_of(inputs: Sequence[Input], labels: Labels | None, graph: GraphProto) -> list[Block]:
    """Shares the attributes out among the inputs that take conditions, in the order of both.

    Without labels an input is one attribute, whose categories are class-0, class-1, … Raises TrainingError where
    labels and inputs do not add up.
    """
    taking = [each for each in inputs if each.kind in ("condition", "index")]
    left, blocks, start = list((labels or {}).items()), list[Block](), 0
    for number, each in enumerate(taking):
        width = each.width if each.kind == "condition" else table_rows(graph, each.name)
        if labels is None:
            if width is None:
                raise TrainingError(f"--labels: needed, since the graph does not say how many classes {each.value} has")
            name = "category" if len(taking) == 1 else f"category-{number + 1}"
            chosen = [(name, [f"class-{index}" for index in range(width)])]
        else:
            chosen = take_attributes(left, each, width, last=number == len(taking) - 1)
        stop = start + sum(len(categories) for _, categories in chosen)
        blocks.append(Block(each, start, stop, [attribute(*named, each.kind == "index") for named in chosen]))
        start = stop
    if left:
        where = "takes no condition" if not taking else "has no more room"
        raise TrainingError(f"--labels: {', '.join(name for name, _ in left)}: the graph {where}")
    return blocks


def take_attributes(left: Named, each: Input, width: int | None, last: bool) -> Named:
    """Removes from `left` what fills the input, one attribute where it is an index."""
    room = len(left) if last and width is None and each.kind == "condition" else 1
    if each.kind == "condition" and width is not None:
        sums = np.cumsum([len(categories) for _, categories in left])
        room = int(np.searchsorted(sums, width)) + 1
    chosen = left[:room]
    count = sum(len(categories) for _, categories in chosen)
    if not chosen or (width is not None and count != width):
        given = " + ".join(str(len(categories)) for _, categories in chosen) or "none"
        raise TrainingError(f"--labels: {each.value} takes {width or 'some'} categories; those left for it are {given}")
    del left[:room]
    return chosen


def attribute(name: str, categories: Sequence[str], exclusive: bool) -> Attribute:
    return Attribute(name=name, categories=[Category(name=each) for each in categories], exclusive=exclusive)


def table_rows(graph: GraphProto, name: str) -> int | None:
    """Rows of the table in which the input `name` is looked up: as many classes there are."""
    constants, names = constants_of(graph), {name}
    for node in graph.node:
        if node.op_type in PASSING and node.input[0] in names:
            names.add(node.output[0])
        if node.op_type == "Gather" and node.input[1] in names and node.input[0] in constants:
            return int(constants[node.input[0]].dims[0])
        if node.op_type == "OneHot" and node.input[0] in names and node.input[1] in constants:
            return int(numpy_helper.to_array(constants[node.input[1]]).flat[0])
    return None


def combinations(attributes: Sequence[Attribute]) -> list[Combination]:
    """All, each as often as any other, for nothing is known of the training; of very many, some at random."""
    sizes = [len(attribute.categories) for attribute in attributes]
    if not sizes:
        return []
    total = float(np.prod(np.array(sizes, dtype=np.float64)))
    rows: npt.NDArray[np.int64]
    if total <= COMBINATIONS:
        rows = np.stack(np.unravel_index(np.arange(int(total)), sizes), axis=1)
    else:
        rows = np.random.default_rng(0).integers(0, sizes, (COMBINATIONS, len(sizes)))
    return [Combination(categories=row, count=1) for row in rows.tolist()]
