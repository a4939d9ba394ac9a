"""Generators whose faults are known: real ONNX files that look their pictures up in a table.

A latent chooses among the pictures whose labels match the condition, so what is drawn is known picture by picture.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.training.making import COLOURS, SHAPES, drawing, write_dataset
from unikat.bundle import Bundle, write_bundle
from unikat.v1.model_pb2 import Combination, Model, TrainingRun
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.evaluation.evaluate import evaluate
from unikat_training.evaluation.extractors import JUDGES
from unikat_training.evaluation.results import Evaluation
from unikat_training.evaluation.settings import Effort, EvaluationSettings
from unikat_training.evaluation.sheets import Sheets
from unikat_training.evaluation.subject import Subject

LATENT = 16
SIZE = 16  # pixels
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """Pictures (N, H, W, 3), or with alpha (N, H, W, 4), and what they are labelled as, (N, A)."""

    images: Pixels
    labels: Labels


def fresh(count: int, seed: int) -> Table:
    """New drawings of the kind that `write_dataset` makes: what a perfect generator would draw."""
    rng = np.random.default_rng(seed)
    labels = np.stack([np.arange(count) % len(SHAPES), np.arange(count) // 2 % len(COLOURS)], axis=1)
    return Table(np.stack([drawing(rng, SIZE, *row) for row in labels]), labels)


def write_graph(path: Path, table: Table, conditional: bool = True, heeded: bool = True) -> None:
    """latent, condition, truncation -> a picture of the table; with `heeded` false the condition changes nothing."""
    count = len(table.images)
    directions = np.random.default_rng(1).normal(size=(LATENT, count)).astype(np.float32)
    constants: dict[str, npt.NDArray[Any]] = {"directions": directions, "pictures": table.images}
    nodes = [helper.make_node("MatMul", ["latent", "directions"], ["scores"])]
    names, last = {"latent": LATENT, "truncation": 1}, "scores"
    if conditional:
        sizes = (len(SHAPES), len(COLOURS))
        blocks = [np.eye(size, dtype=np.float32)[table.labels[:, i]] for i, size in enumerate(sizes)]
        constants["matches"] = np.concatenate(blocks, axis=1).T * np.float32(1000 if heeded else 0)  # (C, N)
        names["condition"] = sum(sizes)
        nodes += [
            helper.make_node("MatMul", ["condition", "matches"], ["matching"]),
            helper.make_node("Add", [last, "matching"], ["both"]),
        ]
        last = "both"
    nodes += [
        helper.make_node("Mul", [last, "truncation"], ["weighed"]),
        helper.make_node("ArgMax", ["weighed"], ["chosen"], axis=1, keepdims=0),
        helper.make_node("Gather", ["pictures", "chosen"], ["image"], axis=0),
    ]
    channels = table.images.shape[-1]
    if channels == 4:
        names["background"] = 4  # which changes nothing
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in names.items()]
    output = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIZE, SIZE, channels])
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "table", inputs, [output], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


def describe(data: Dataset, held_out: float | None = 0.1, truncation: float = 1.0, unseen: float = 0.0) -> Model:
    """The manifest of a model trained on `data`."""
    config = ({} if held_out is None else {"held_out": held_out}) | ({"unseen": unseen} if unseen else {})
    trained = data.split(Shares.of(config)).trained
    found, counts = np.unique(trained.labels, axis=0, return_counts=True)
    return Model(
        name="table",
        version=1,
        description="A table.",
        width=SIZE,
        height=SIZE,
        latent_size=LATENT,
        attributes=[attribute.message() for attribute in trained.attributes],
        combinations=[
            Combination(categories=row.tolist(), count=int(count))
            for row, count in zip(found, counts, strict=True)
            if len(row)
        ],
        default_truncation=truncation,
        training=TrainingRun(data_digest=data.digest, config=json.dumps(config)),
    )


def make_subject(folder: Path, data: Dataset, table: Table, heeded: bool = True, **described: float | None) -> Subject:
    folder.mkdir(parents=True)
    graph = folder / "generator.onnx"
    write_graph(graph, table, conditional=bool(data.attributes), heeded=heeded)
    return Subject(graph, describe(data, **described))  # type: ignore[arg-type]  # its two keywords


def make_bundle(folder: Path, data: Dataset, table: Table) -> Bundle:
    subject = make_subject(folder / "graph", data, table)
    files: dict[str, Path | bytes] = {
        "generator.onnx": subject.graph,
        "samples.png": b"sheet",
        "MODEL_CARD.md": b"card",
    }
    return write_bundle(folder / "models" / "table" / "1", subject.model, files)


def make_dataset(path: Path, plain: bool = False) -> Dataset:
    """400 drawings, a tenth of which is held out."""
    return write_dataset(path, count=400, resolution=SIZE, plain=plain)


class PooledPixels:
    """Features that cost nothing: the picture at 4 x 4, (B, 48)."""

    name = "pooled pixels"

    def __call__(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        side = pixels.shape[1] // 4
        blocks = pixels.reshape(len(pixels), 4, side, 4, side, 3).astype(np.float32)
        means: npt.NDArray[np.float32] = blocks.mean(axis=(2, 4)).reshape(len(pixels), -1) / 255
        return means


JUDGES[PooledPixels.name] = lambda resolution: PooledPixels()
QUICK = Effort(samples=240, subsets=4, steps=40, pairs=1, blend_images=4)


def evaluated(
    subject: Subject,
    data: Dataset,
    cache: Path,
    references: Sequence[Subject] = (),
    **more: Any,  # noqa: ANN401  # settings
) -> tuple[Evaluation, Sheets]:
    """In seconds."""
    settings = EvaluationSettings(
        **{"judge": PooledPixels.name, "progress": False, "cache": cache, "effort": QUICK, **more}
    )
    return evaluate(subject, data, settings, references)
