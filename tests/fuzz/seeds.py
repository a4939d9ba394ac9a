"""Writes the first inputs of the corpus: what our own encoders make. `python -m tests.fuzz.seeds`."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf import json_format
from PIL import Image

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.provenance_seeds import FRESH, provenance_seeds
from tests.support.inference import infer_request
from tests.support.outside_weights import graphs_with_outside_weights
from tests.support.tiny_model import tiny_model
from unikat.batches.spec import BatchSpec, Cell
from unikat.queue.activity import Activity, Running
from unikat.queue.job import DrawJob
from unikat.queue.workers import WorkerStatus
from unikat.v1 import batches_pb2, studio_pb2


def seeds() -> dict[str, list[bytes]]:
    """Target -> inputs."""
    cells = (Cell({"style": {"ink": 0.25, "oil": 0.75}}, 3), Cell({}, 5))
    spec = BatchSpec("tiny@1", "sha256:0", 7, 0.5, 1, 1, cells, "file:///out/a", 4, labels={"a": "b"}, encoder="png-3")
    head, listed = spec.to_json()
    status = WorkerStatus("w", {"tiny@1": "sha256:0"}, "cpu", "CPUExecutionProvider", "onnxruntime 1", 1.5, 0.5, 3.0)
    running = Running("c-1", "tiny@1", "anna", 16, 3, 1.5)
    return {
        "job": _jobs(),
        "shard": [
            json.dumps(["worker.jobs.draw_shard", None, [], spec.shard_job("b", 0).to_kwargs()]).encode(),
            json.dumps(["worker.jobs.close_batch", None, [], {"batch": "b", "round": 0}]).encode(),
        ],
        "record": [f"{head}\n--\n{listed}".encode()],
        "status": [status.to_json().encode()],
        "activity": [Activity(1.5, 0.5, 1, 2, 3.0, 2**28, ["tiny@1"], [running], [[0.1] * 5]).to_json().encode()],
        "control": [
            b"pin tiny\n--\n1790000000000-0\ntiny@1\nanna\nwhy", b"drain w1\n--\n1790000000000-0\nw1\nanna\n",
        ],
        "bundle": [_manifest()],
        "graph": [_without_weights(graph) for graph in graphs_with_outside_weights()],
        "directions": [_directions()],
        "parquet": _tables(),
        "archive": _archives(),
        "table": [
            b"\x00file,style\na.png,ink\n\"b.png\";oil\n", b"\x00sep=;\nfile;style\na.png;3.0\n",
            b'\x01{"file": "a.png", "style": "ink"}\n{"file": "b.png", "style": [0, 1]}\n',
            b'\x02{"a.png": {"style": "ink"}}', b'\x02{"ink": ["a.png"]}', b'\x02[{"file": "a.png"}]',
            b'\x03{"labels": [["a.png", 1]], "classes": ["x", "y"]}', b"\x04a.png 0\nb.jpg 1\n", b"\x05file\tstyle\n",
            b'\x02{"conditions": {"style": {"ink": 1}}, "label": 3}', b"\x00" + "﻿file,ü\n".encode("utf-16"),
        ],
        "plan": [b"style,count\nink,3\nink:0.5|oil:0.5,\n", b'{"where": {"style": {"ink": 0.7}}, "count": 3}\n'],
        "labels": [b'["cat", "dog"]', b'{"animal": ["cat"], "colour": ["red", "blue"]}'],
        "request": _requests(),
        "inference": [infer_request(raw).SerializeToString() for raw in (False, True)],
        "body": _bodies(),
        "picture": _pictures(),
        **provenance_seeds(),
        "atlas": [b"\x20\x20a\n\x10\x08b/c\n\x01\x01\xc3\xbc", b"\x20\x20a\n\x10\x08a"],
    }  # fmt: skip


def _jobs() -> list[bytes]:
    import zlib

    job = DrawJob("tiny@1", "sha256:0", {"style": {"ink": 0.25, "oil": 0.75}}, 3, 2**64 - 1, 0.5, 1, 10.0, None)
    data = json.dumps(["worker.jobs.draw", None, [], job.to_kwargs()]).encode()
    extra = b'{"encoder": "png-3", "background": "#ffffffff", "caller": "default", "later": 1}'
    return [data, data + b"\n--\n" + extra + b"\n--\n1790000000.5", zlib.compress(data) + b"\n--\n" + extra]


def _manifest() -> bytes:
    model = tiny_model()
    model.files.add(path="generator.onnx", digest="sha256:" + "0" * 64, size=7)
    model.training.config = "{}"
    return json_format.MessageToJson(model, indent=None).encode()


def _without_weights(graph: bytes) -> bytes:
    from onnx import ModelProto

    model = ModelProto.FromString(graph)
    for tensor in model.graph.initializer:
        tensor.raw_data = b""
    return model.SerializeToString()


def _directions() -> bytes:
    row = {"eigenvalue": 1.5, "strength": 3.0, "vector": [0.5] * 8}
    head: dict[str, Any] = {"format": 1, "method": "m", "latent_size": 8, "random_strength": 1, "latent_strength": 2}
    return json.dumps(head | {"directions": [row, row]}).encode()


def _tables() -> list[bytes]:
    labels = {"file": ["a.png", "b.png"], "style": ["ink", None], "n": [1, 2]}
    nested = {"file": ["images/00000/0000000.png"], "conditions": [{"style": "ink", "subject": "sea:0.5,hill:0.5"}]}
    found = []
    for columns, compression in (
        (labels, "none"),
        (nested, "zstd"),
        ({"image": [{"bytes": b"x", "path": "a"}]}, "none"),
    ):
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink, compression=compression)
        found.append(sink.getvalue())
    return found


def _archives() -> list[bytes]:
    files = {"cat/a.png": b"\x89PNG", "cat/a.json": b"{}", "../x.png": b"x", "__MACOSX/._a": b""}
    packed, taped = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    with tarfile.open(fileobj=taped, mode="w", format=tarfile.USTAR_FORMAT) as tape:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tape.addfile(info, io.BytesIO(content))
    return [packed.getvalue(), taped.getvalue()[:4096], b"\x1f\x8b\x08"]


def _requests() -> list[bytes]:
    ink = studio_pb2.Condition(attribute="style", category="ink")
    mix = studio_pb2.Condition(attribute="style", blend=studio_pb2.Blend(weights={"ink": 1, "oil": 2}))
    grid = batches_pb2.Grid(axes=[batches_pb2.Axis(attribute="style", categories=["ink"])], count=2)
    plan = batches_pb2.Plan(conditions=[ink, mix], count=3)
    batch = {"model": "tiny", "destination": "/out/a", "labels": {"a": "b"}, "request_id": "r", "shard_size": 8}
    states = [batches_pb2.Batch.STATE_QUEUED, batches_pb2.Batch.STATE_RUNNING]
    messages = [
        (
            0,
            studio_pb2.GenerateRequest(
                model="tiny@1", count=1, seed=7, truncation=0.5, conditions=[mix], request_id="r"
            ),
        ),
        (1, batches_pb2.CreateBatchRequest(plans=[plan], **batch)),  # type: ignore[arg-type]  # of several types
        (1, batches_pb2.CreateBatchRequest(grid=grid, **batch)),  # type: ignore[arg-type]
        (2, studio_pb2.ListModelsRequest(page_size=3, page_token="WyJtb2RlbHMiLCAidGlueUAxIl0=")),
        (3, studio_pb2.GetModelRequest(name="tiny@1")),
        (4, batches_pb2.ListBatchesRequest(states=states, owner="ann")),
        (5, batches_pb2.WatchBatchRequest(id="0" * 16, after_revision=3)),
        (6, batches_pb2.GetBatchRequest(id="0" * 16)),
    ]
    return [bytes([number]) + message.SerializeToString() for number, message in messages]


def _bodies() -> list[bytes]:
    ink = {"attribute": "style", "blend": {"weights": {"ink": 1, "oil": "0.5"}}}
    recipe = {"points": [{"point": {"seed": "7", "index": 3}, "weight": 0.8}], "shifts": [{"direction": "1"}]}
    found = [
        {"model": "tiny", "seed": "7", "count": 3, "conditions": [ink], "format": "IMAGE_FORMAT_WEBP"},
        {"model": "tiny", "recipe": recipe, "truncation": 0.5, "requestId": "r", "afterIndex": 0},
    ]
    return [json.dumps(each).encode() for each in found]


def _pictures() -> list[bytes]:
    found = [
        b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect id="a" width="4" height="4" fill="red"/>'
        b'<use href="#a" x="4"/></svg>',
    ]
    image = Image.new("RGBA", (5, 3), (200, 10, 20, 128))
    for kind in ("PNG", "WEBP", "GIF", "TIFF", "ICO", "TGA", "JPEG2000"):
        sink = io.BytesIO()
        image.save(sink, kind)
        found.append(sink.getvalue())
    for kind in ("JPEG", "BMP", "PPM"):
        sink = io.BytesIO()
        image.convert("RGB").save(sink, kind)
        found.append(sink.getvalue())
    return [content for content in found if len(content) < 4096]


def main() -> None:
    for target, inputs in seeds().items():
        folder: Path = CORPUS / target
        if target in FRESH and folder.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(inputs):
            (folder / f"seed-{number:02}").write_bytes(content)


if __name__ == "__main__":
    main()
