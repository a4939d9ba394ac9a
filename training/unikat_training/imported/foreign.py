"""An ONNX generator from elsewhere: read, reduced to what makes its image, refused where it could not be served."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, version_converter

from unikat.bundle import MAX_GRAPH, digest_of
from unikat_training.errors import TrainingError

OLDEST = 13  # operator set from which Slice, Squeeze and Clip are as `wrapping` writes them
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
INTEGERS = {TensorProto.INT64, TensorProto.INT32}
RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
PICKLES = (
    b"PK\x03\x04",
    b"\x80\x02",
    b"\x80\x03",
    b"\x80\x04",
    b"\x80\x05",
)  # of torch.save, old and new, and pickle's

Shape = tuple[int | None, ...]  # None: any number


@dataclass(frozen=True)
class Value:
    """An input or output of a graph."""

    name: str
    dtype: int  # TensorProto.DataType
    shape: Shape

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {TensorProto.DataType.Name(self.dtype).lower()} ({sizes})"


@dataclass(frozen=True)
class Foreign:
    """The graph that makes the image `output`; `inputs` are those that it depends on."""

    path: Path
    digest: str
    model: ModelProto
    inputs: list[Value]
    unused: list[Value]  # inputs of the file that the image does not depend on
    output: Value


def load_foreign(path: Path, output: str | None = None) -> Foreign:
    """Reads an ONNX file, and external data beside it; no pickle is ever read.

    Raises TrainingError for what is no ONNX graph, is too large for one file, has no one image as its output, or draws
    random numbers.
    """
    model = read_model(path)
    chosen = choose_output(model, output)
    stored = {tensor.name for tensor in model.graph.initializer}
    every = [value_of(value) for value in model.graph.input if value.name not in stored]
    prune(model.graph, chosen.name)
    constants = constants_of(model.graph)
    for node in nodes_of(model):
        node.doc_string = ""  # notes of the exporter: stack traces with paths of its machine
        del node.metadata_props[:]
        if is_random(node, constants):
            raise TrainingError(
                f"{path}: {node.op_type} {node.name or node.output[0]!r} draws random numbers, so an image would not "
                "be a function of its seed: export the generator in eval mode, with constant noise"
            )
    left = {value.name for value in model.graph.input}
    used, unused = ([each for each in every if (each.name in left) == wanted] for wanted in (True, False))
    return Foreign(path, digest_of(path), model, used, unused, chosen)


def read_model(path: Path) -> ModelProto:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read: {error.strerror}") from error
    if start.startswith(PICKLES):
        raise TrainingError(
            f"{path}: is a pickle, or an archive with one, and reading such a file runs the code in it, so none is "
            "read: export the generator to ONNX where it was trained (torch.onnx.export)"
        )
    try:
        model = onnx.load(path, load_external_data=False)
        size = sum(map(bytes_of, model.graph.initializer))
        if size > MAX_GRAPH:
            raise TrainingError(f"{path}: has {size / 1e9:.1f} GB of weights, and a bundle's graph holds 2 GB at most")
        onnx.load_external_data_for_model(model, str(path.parent))
        if not model.graph.output:
            raise TrainingError(f"{path}: is no ONNX graph: it has no output")
        opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), OLDEST)
        return version_converter.convert_version(model, OLDEST) if opset < OLDEST else model
    except TrainingError:
        raise
    except Exception as error:  # of protobuf, of the checker and of the converter, which share no base but Exception
        raise TrainingError(f"{path}: cannot be read as ONNX: {error}") from error


def bytes_of(tensor: TensorProto) -> int:
    return math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def value_of(value: ValueInfoProto) -> Value:
    tensor = value.type.tensor_type
    sizes = (dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
    return Value(value.name, tensor.elem_type, tuple(sizes))


def choose_output(model: ModelProto, wanted: str | None) -> Value:
    outputs = [value_of(value) for value in model.graph.output]
    told = ", ".join(map(str, outputs))
    if wanted is not None:
        chosen = [value for value in outputs if value.name == wanted]
        if not chosen:
            raise TrainingError(f"--output: there is no {wanted!r}; the graph's outputs are {told}")
        return chosen[0]
    images = [value for value in outputs if len(value.shape) == 4] or outputs
    if len(images) > 1:
        raise TrainingError(f"--output: say which of the graph's outputs is the image: {told}")
    return images[0]


def prune(graph: GraphProto, output: str) -> None:
    """Leaves what `output` depends on."""
    needed, kept = {output}, []
    for node in reversed(graph.node):  # nodes are in topological order
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(used_by(node))
    for field in (graph.input, graph.output, graph.initializer):
        stay = [each for each in field if each.name in needed]
        del field[:]
        field.extend(stay)  # type: ignore[arg-type]  # of the field that they come from
    kept.reverse()
    del graph.value_info[:], graph.node[:]
    graph.node.extend(kept)


def used_by(node: NodeProto) -> set[str]:
    """Names that a node reads, itself or in the graphs inside it."""
    inner = (name for graph in graphs_of(node) for each in graph.node for name in used_by(each))
    results = (value.name for graph in graphs_of(node) for value in graph.output)
    return {*node.input, *inner, *results}


def graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def nodes_of(model: ModelProto) -> Iterator[NodeProto]:
    """All nodes, those inside of others and of functions too."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(inner for graph in graphs_of(node) for inner in graph.node)


def constants_of(graph: GraphProto) -> dict[str, TensorProto]:
    """Tensors whose values are in the file, by name."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            found[node.output[0]] = node.attribute[0].t
    return found


def is_random(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    if node.op_type != "Dropout" or len(node.input) < 3 or not node.input[2]:
        return node.op_type in RANDOM
    mode = constants.get(node.input[2])  # without it, it drops nothing
    return mode is None or bool(numpy_helper.to_array(mode).any())
