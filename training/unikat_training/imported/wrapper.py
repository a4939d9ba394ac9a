"""The nodes around a foreign graph: from what a worker gives to what it takes, and from its output to an image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from unikat_training.imported.foreign import graphs_of
from unikat_training.imported.inputs import Input
from unikat_training.imported.original import Form, Original

PREFIX = "imported/"  # of every name of the foreign graph, so that none is one of ours
ONE = "-one"  # after the names of what an image has alone, inside of Scan
IR = 8  # the oldest in which operator set 13 may be written


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


def wrap(original: Original, form: Form, alone: bool) -> ModelProto:
    """The graph that a worker loads.

    `alone` draws the images of a batch one after another (ONNX's Scan), for graphs that are made for a batch of one,
    or in which images influence one another.
    """
    model = ModelProto()
    model.CopyFrom(original.foreign.model)
    inner, widths = prefixed(model.graph), original.widths | ({"background": 4} if form.alpha else {})
    around = Nodes()
    given = {name: around.add("Unsqueeze", name + ONE, around.numbers(0)) if alone else name for name in widths}
    add_inputs(around, original, given, alone)
    around.nodes += inner.node
    image = add_image(around, PREFIX + original.foreign.output.name, form, given.get("background"))
    around.constants += inner.initializer
    if alone:
        around.add("Squeeze", image, around.numbers(0), output="image" + ONE)
        body = graph_of(around, widths, form, ())
        around = Nodes()
        around.add("Scan", *widths, output="image", body=body, num_scan_inputs=len(widths))
    else:
        around.add("Identity", image, output="image")
    model.graph.CopyFrom(graph_of(around, widths, form, ("batch",)))
    model.ir_version = max(model.ir_version, IR)
    model.doc_string, model.producer_name, model.producer_version = "", "unikat", ""
    del model.metadata_props[:]
    return model


def graph_of(nodes: Nodes, widths: Mapping[str, int], form: Form, batch: tuple[str, ...]) -> GraphProto:
    """A graph from the inputs of a worker to an image: of batches, or, where `batch` is empty, of one."""
    end, value = "" if batch else ONE, helper.make_tensor_value_info
    inputs = [value(name + end, TensorProto.FLOAT, [*batch, width]) for name, width in widths.items()]
    outputs = [value("image" + end, TensorProto.UINT8, [*batch, *form.shape])]
    return helper.make_graph(nodes.nodes, "generator", inputs, outputs, nodes.constants)


def prefixed(graph: GraphProto) -> GraphProto:
    """In place: `PREFIX` before every name, in the graphs inside nodes too.

    (`onnx.compose.add_prefix` misses constants that a graph inside a node takes from the one around it.)
    """
    for node in graph.node:
        node.input[:] = [PREFIX + name if name else "" for name in node.input]
        node.output[:] = [PREFIX + name if name else "" for name in node.output]
        for inside in graphs_of(node):
            prefixed(inside)
    for named in (*graph.input, *graph.output):
        named.name = PREFIX + named.name
    for tensor in graph.initializer:
        tensor.name = PREFIX + tensor.name
    del graph.value_info[:]
    return graph


def add_inputs(nodes: Nodes, original: Original, given: Mapping[str, str], alone: bool) -> None:
    """From `given`, the names of what a worker gives, to the inputs of the foreign graph."""
    for each in original.inputs:
        if each.kind == "latent":
            name = given["latent"]
            if not original.truncates:  # toward its mean, 0; at 1 exactly the latent itself
                name = nodes.add("Mul", name, given["truncation"])
        elif each.kind == "truncation":
            name = given["truncation"]
        else:
            ends = (nodes.numbers(end) for end in original.columns[each.name])
            name = nodes.add("Slice", given["condition"], *ends, nodes.numbers(1))
            if each.kind == "index":
                name = nodes.add("ArgMax", name, axis=1, keepdims=0)
        shape = tensor_shape(each, alone)
        if shape is not None:
            name = nodes.add("Reshape", name, nodes.numbers(*shape))
        nodes.add("Cast", name, output=PREFIX + each.name, to=each.value.dtype)


def tensor_shape(each: Input, alone: bool) -> list[int] | None:
    """The shape into which an input's numbers are brought; None as they are."""
    rank = len(each.value.shape)
    if each.kind == "truncation":
        # A scalar becomes a column in a batch: where the graph multiplies by it, each image gets its own.
        return [1] * rank if alone else [-1] if rank == 1 and not each.is_shared else None
    if each.kind == "index":
        return [-1, 1] if rank == 2 else None
    return [-1, each.width or -1, 1, 1] if rank == 4 else None


def add_image(nodes: Nodes, name: str, form: Form, background: str | None) -> str:
    """From the foreign output to uint8 (B, H, W, 3 or 4), as `original.pixels` does it in NumPy."""
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
