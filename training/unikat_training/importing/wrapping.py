"""The nodes around a foreign graph: from what a worker gives to what it takes, and from its output to an image."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from unikat_training.importing.foreign import Foreign, graphs_of
from unikat_training.importing.inputs import Input
from unikat_training.importing.labels import Block
from unikat_training.importing.reading import Form

PREFIX = "imported/"  # of every name of the foreign graph, so that none is one of ours
IR = 8  # the oldest in which operator set 13 may be written


@dataclass(frozen=True)
class Plan:
    """What a foreign graph takes and gives."""

    foreign: Foreign
    inputs: list[Input]
    blocks: list[Block]
    latent: int
    form: Form

    @property
    def widths(self) -> dict[str, int]:
        """The inputs of the wrapped graph and their numbers an image, as a worker expects them."""
        condition = self.blocks[-1].stop if self.blocks else 0
        widths = {"latent": self.latent, "condition": condition, "truncation": 1}
        return {name: width for name, width in widths.items() if width} | ({"background": 4} if self.form.alpha else {})

    @property
    def has_truncation(self) -> bool:
        """Whether the foreign graph has one of its own."""
        return any(each.kind == "truncation" for each in self.inputs)


@dataclass
class Nodes:
    """Nodes and constants in the order in which they are added."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: int | list[int] | GraphProto) -> str:
        output = output or f"{operator.lower()}-{len(self.nodes)}"
        node = helper.make_node(operator, inputs, [output])
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.nodes.append(node)
        return output

    def numbers(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def constant(self, array: npt.NDArray[np.generic]) -> str:
        self.constants.append(numpy_helper.from_array(array, f"constant-{len(self.constants)}"))
        return self.constants[-1].name


def wrap(plan: Plan, alone: bool) -> ModelProto:
    """The graph that a worker loads.

    `alone` draws the images of a batch one after another (ONNX's Scan), for graphs that are made for a batch of one,
    or in which images influence one another.
    """
    model = ModelProto()
    model.CopyFrom(plan.foreign.model)
    inner = prefixed(model.graph)
    around = Nodes()
    if alone:
        given = {name: around.add("Unsqueeze", f"one-{name}", around.numbers(0)) for name in plan.widths}
    else:
        given = {name: name for name in plan.widths}
    add_inputs(around, plan, given)
    around.nodes += inner.node
    image = add_image(around, PREFIX + plan.foreign.output.name, plan.form, given.get("background"))
    around.constants += inner.initializer
    inputs = [typed(name, TensorProto.FLOAT, ["batch", width]) for name, width in plan.widths.items()]
    output = typed("image", TensorProto.UINT8, ["batch", *plan.form.shape])
    if alone:
        around.add("Squeeze", image, around.numbers(0), output="one-image")
        rows = [typed(f"one-{name}", TensorProto.FLOAT, [width]) for name, width in plan.widths.items()]
        body = helper.make_graph(
            around.nodes, "one", rows, [typed("one-image", TensorProto.UINT8, plan.form.shape)], around.constants
        )
        around = Nodes()
        around.add("Scan", *plan.widths, output="image", body=body, num_scan_inputs=len(rows))
    else:
        around.add("Identity", image, output="image")
    wrapped = helper.make_graph(around.nodes, "generator", inputs, [output], around.constants)
    wrapped.sparse_initializer.extend(inner.sparse_initializer)
    model.graph.CopyFrom(wrapped)
    model.ir_version = max(model.ir_version, IR)
    model.doc_string, model.producer_name, model.producer_version = "", "unikat", ""
    del model.metadata_props[:]
    return model


def typed(name: str, kind: int, shape: Sequence[str | int]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def prefixed(graph: GraphProto) -> GraphProto:
    """In place: `PREFIX` before every name, in the graphs inside nodes too, and without notes of the exporter.

    The notes hold stack traces with paths of the machine that exported. (`onnx.compose.add_prefix` misses constants
    that a graph inside a node takes from the one around it.)
    """
    for node in graph.node:
        node.input[:] = [PREFIX + name if name else "" for name in node.input]
        node.output[:] = [PREFIX + name if name else "" for name in node.output]
        node.doc_string = ""
        del node.metadata_props[:]
        for inside in graphs_of(node):
            prefixed(inside)
    for value in (*graph.input, *graph.output):
        value.name = PREFIX + value.name
    for tensor in (*graph.initializer, *(each.values for each in graph.sparse_initializer)):
        tensor.name = PREFIX + tensor.name
    del graph.value_info[:]
    return graph


def add_inputs(nodes: Nodes, plan: Plan, given: dict[str, str]) -> None:
    """From `given`, the names of what a worker gives, to the inputs of the foreign graph."""
    columns = {block.input.name: block for block in plan.blocks}
    for each in plan.inputs:
        rank = len(each.value.shape)
        if each.kind == "latent":
            name = given["latent"]
            if not plan.has_truncation:  # toward its mean, 0; at 1 exactly the latent itself
                name = nodes.add("Mul", name, given["truncation"])
        elif each.kind == "truncation":
            name = given["truncation"]
        else:
            block = columns[each.name]
            name = given["condition"]
            if block.stop - block.start < plan.widths["condition"]:
                name = nodes.add("Slice", name, nodes.numbers(block.start), nodes.numbers(block.stop), nodes.numbers(1))
            if each.kind == "index":
                name = nodes.add("ArgMax", name, axis=1, keepdims=0)
        shape = tensor_shape(each, rank, alone=given["latent"] != "latent")
        if shape is not None:
            name = nodes.add("Reshape", name, nodes.numbers(*shape))
        nodes.add("Cast", name, output=PREFIX + each.name, to=each.value.dtype)


def tensor_shape(each: Input, rank: int, alone: bool) -> list[int] | None:
    """The shape into which an input's numbers are brought; None as they are."""
    if each.kind == "truncation":
        if alone:
            return [1] * rank
        # A scalar becomes a column: where the graph multiplies by it, an image gets its own.
        return [-1] if rank == 1 and not each.is_shared else None
    if each.kind == "index":
        return [-1, 1] if rank == 2 else None
    return [-1, each.width or -1, 1, 1] if rank == 4 else None


def add_image(nodes: Nodes, name: str, form: Form, background: str | None) -> str:
    """From the foreign output to uint8 (B, H, W, 3 or 4), as `reading.pixels` does it in NumPy."""
    name = nodes.add("Cast", name, to=TensorProto.FLOAT)
    if form.layout == "nchw":
        name = nodes.add("Transpose", name, perm=[0, 2, 3, 1])
    name = nodes.add("Clip", name, nodes.number(form.low), nodes.number(form.high))
    name = nodes.add("Sub", name, nodes.number(form.low))
    if background is None:
        levels = nodes.add("Mul", name, nodes.number(255 / (form.high - form.low)))
    else:
        shares = nodes.add("Div", name, nodes.number(form.high - form.low))
        levels = nodes.add("Mul", add_over(nodes, shares, background), nodes.number(255))
    image = nodes.add("Cast", nodes.add("Round", levels), to=TensorProto.UINT8)
    return nodes.add("Concat", image, image, image, axis=3) if form.channels == 1 else image


def add_over(nodes: Nodes, shares: str, background: str) -> str:
    """A drawing (B, H, W, 4) over a background (B, 4), colours not multiplied by alpha (Porter & Duff 1984)."""
    behind = nodes.add("Reshape", background, nodes.numbers(-1, 1, 1, 4))
    (colour, alpha), (ground, ground_alpha) = (split(nodes, each) for each in (shares, behind))
    rest = nodes.add("Mul", nodes.add("Sub", nodes.number(1), alpha), ground_alpha)
    whole = nodes.add("Add", alpha, rest)
    mixed = nodes.add("Add", nodes.add("Mul", alpha, colour), nodes.add("Mul", rest, ground))
    visible = nodes.add("Greater", whole, nodes.number(0))
    mixed = nodes.add("Div", mixed, nodes.add("Where", visible, whole, nodes.number(1)))
    return nodes.add("Concat", mixed, whole, axis=3)


def split(nodes: Nodes, name: str) -> tuple[str, str]:
    """Colour (…, 3) and alpha (…, 1)."""
    ends, axis = nodes.numbers(3), nodes.numbers(-1)
    return (
        nodes.add("Slice", name, nodes.numbers(0), ends, axis),
        nodes.add("Slice", name, ends, nodes.numbers(4), axis),
    )
