"""Graphs whose weights lie in other files, in every place in which ONNX lets a tensor stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from onnx import AttributeProto, GraphProto, ModelProto, SparseTensorProto, TensorProto, helper

from tests.support.tiny_model import tiny_graph, write_tiny_bundle
from unikat.bundle import GRAPH, MANIFEST, Bundle, digest_of, read_bundle


def outside(location: str = "weights.bin") -> TensorProto:
    """A tensor of 8 numbers that lie in another file."""
    tensor = TensorProto(name="outside", data_type=TensorProto.FLOAT, dims=[8], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "32")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graphs_with_outside_weights(location: str = "weights.bin") -> Iterator[bytes]:
    """The tiny graph, each time with one more tensor in a place of another kind."""
    tensor = outside(location)
    inner = GraphProto(name="inner", initializer=[tensor])
    sparse = SparseTensorProto(values=tensor)
    attributes = (
        AttributeProto(name="value", type=AttributeProto.TENSOR, t=tensor),
        AttributeProto(name="value", type=AttributeProto.TENSORS, tensors=[tensor]),
        AttributeProto(name="value", type=AttributeProto.GRAPH, g=inner),
        AttributeProto(name="value", type=AttributeProto.GRAPHS, graphs=[inner]),
        AttributeProto(name="value", type=AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse),
        AttributeProto(name="value", type=AttributeProto.SPARSE_TENSORS, sparse_tensors=[sparse]),
    )

    def changed() -> ModelProto:
        return ModelProto.FromString(tiny_graph())

    model = changed()
    model.graph.initializer.append(tensor)
    yield model.SerializeToString()
    model = changed()
    model.graph.sparse_initializer.append(sparse)
    yield model.SerializeToString()
    model = changed()
    model.training_info.add().algorithm.CopyFrom(inner)
    yield model.SerializeToString()
    for attribute in attributes:
        node = helper.make_node("Constant", [], ["unused"])
        node.attribute.append(attribute)
        model = changed()
        model.graph.node.append(node)
        yield model.SerializeToString()
        model = changed()
        model.functions.add(name="f", domain="d").node.append(node)
        yield model.SerializeToString()


def bundle_around(graph: bytes, models: Path) -> Bundle:
    """A bundle of the tiny model whose graph was put there by hand, with its digest and size in `model.json`."""
    bundle = write_tiny_bundle(models)
    bundle.graph.write_bytes(graph)
    manifest = bundle.path / MANIFEST
    found = json.loads(manifest.read_text(encoding="utf-8"))
    for file in found["files"]:
        if file["path"] == GRAPH:
            file |= {"digest": digest_of(bundle.graph), "size": len(graph)}
    manifest.write_text(json.dumps(found), encoding="utf-8")
    return read_bundle(bundle.path)
