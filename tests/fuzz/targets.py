"""The decoders, each as a function of bytes that raises nothing but what it documents."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
from google.protobuf.message import Message

from tests.fuzz import provenance
from tests.fuzz.inputs import SCRATCH, SEPARATOR
from tests.support.tiny_model import tiny_model
from unikat.batches.parquet import open_parquet
from unikat.batches.spec import CLOSE_BATCH, DRAW_SHARD, BatchSpec, ShardJob
from unikat.bundle import parse_description, parse_manifest
from unikat.cli.batch.plan import parse_plan
from unikat.cli.problems import Problem
from unikat.conditions import FieldError, Schema, check_conditions
from unikat.directions import parse_directions
from unikat.errors import UnikatError
from unikat.inference import open_inference_pb2
from unikat.onnx_file import check_self_contained
from unikat.paging import check_page
from unikat.queue.activity import Activity
from unikat.queue.control import Control
from unikat.queue.draws import Taken
from unikat.queue.job import DrawJob, call_of
from unikat.queue.workers import WorkerStatus
from unikat.sprites import Packing, Sprite, pack
from unikat.v1 import batches_pb2, studio_pb2
from unikat_gallery.v1.requests import parsed
from unikat_service.batch_requests import field_problems, resolve
from unikat_service.callers import Caller
from unikat_service.open_inference.inputs import read
from unikat_service.paging import model_position
from unikat_service.requests import common_problems, parse, parse_draw
from unikat_service.settings import Settings
from unikat_training.data.folder.beside import sidecar_table
from unikat_training.data.folder.container import open_container
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.tables import read_table
from unikat_training.data.folder.tags import joined_rows, with_tags
from unikat_training.data.memory import UnsafePictureError
from unikat_training.data.pictures import BrokenPictureError, OtherFormatError, decode
from unikat_training.errors import DatasetError, TrainingError
from unikat_training.imported.labels import parse_labels
from unikat_worker.admission import admit

_SCHEMA: Final = Schema(tiny_model())


@dataclass(frozen=True)
class Target:
    """A decoder. `raises` is what it documents; `modules` are those whose coverage is told.

    `longest` (bytes) is of an input that atheris makes. `is_limited`: it is for a process whose memory is limited.
    """

    decode: Callable[[bytes], object]
    raises: tuple[type[Exception], ...]
    modules: tuple[str, ...]
    longest: int = 4096
    is_limited: bool = False

    def __call__(self, content: bytes) -> None:
        with suppress(*self.raises):
            self.decode(content)


def job(content: bytes) -> None:
    """A job of an interactive call, from the fields of its hash to the conditions that are drawn."""
    data, extra, deadline = (*content.split(SEPARATOR, 2), b"", b"")[:3]
    item = admit(Taken("id", "queue", "execution", data, extra, deadline, 1, 0, 0, -1, 600, 0, 0.0))
    if item.ending is None:
        draw = DrawJob.from_hash(data, extra, deadline)
        try:
            _SCHEMA.vectors([draw.weights])
        except KeyError:  # an attribute that the model does not have: the job fails, drawn alone
            return


def shard(content: bytes) -> None:
    """A job of a batch."""
    function, kwargs = call_of(content, [DRAW_SHARD, CLOSE_BATCH])
    if function == DRAW_SHARD:
        found = ShardJob.from_kwargs(kwargs)
        assert found.count >= 0


def record(content: bytes) -> None:
    """A batch's spec as it is stored."""
    head, cells = (*content.split(SEPARATOR, 1), b"[]")[:2]
    spec = BatchSpec.from_json(head, cells)
    assert spec.shard_count >= 0


def bundle(content: bytes) -> None:
    """`model.json` of a bundle, as it lies in a folder and as a worker describes it in Redis."""
    try:
        Schema(parse_manifest(content))
    finally:
        parse_description(content)


def directions(content: bytes) -> None:
    """`directions.json` of a bundle."""
    parse_directions(content, 8)


def parquet(content: bytes) -> None:
    """A manifest of a batch, or a table of labels: the first is read row by row, the second as a whole."""
    try:
        for batch in open_parquet(io.BytesIO(content)).iter_batches(512, use_threads=False):
            batch.to_pylist()
    except (pa.ArrowException, OSError):
        pass
    read_table("labels.parquet", content)


def archive(content: bytes) -> None:
    """A zip or tar of pictures and files beside them, as webdataset has it."""
    with tempfile.NamedTemporaryFile(dir=SCRATCH, suffix=".tar") as file:
        file.write(content)
        file.flush()
        container = open_container(Path(file.name))
        for place in list(container.files.values())[:8]:
            try:
                place.read(2**16)
            except (OSError, ValueError):
                continue


def table(content: bytes) -> None:
    """A file of labels; the first byte says of which kind."""
    kinds = ("x.csv", "x.jsonl", "x.json", "dataset.json", "x.txt", "x.tsv")
    name = kinds[content[0] % len(kinds)] if content else kinds[0]
    tables = [
        read_table(name, content[1:]),
        sidecar_table((f"{ending}.png", f"{ending}.{ending}", content[1:]) for ending in ("json", "cls", "txt")),
    ]
    with_tags([joined_rows(table) for table in tables if table is not None], FolderOptions())


def plan(content: bytes) -> None:
    """A plan of a batch, as CSV and as JSON."""
    for name in ("plan.csv", "plan.jsonl"):
        try:
            parse_plan(Path(name), content, 1)
        except Problem:
            continue


def labels(content: bytes) -> None:
    """The labels of a model that is imported."""
    parse_labels(Path("labels.json"), content)


_REQUESTS: Final[tuple[type[Message], ...]] = (
    studio_pb2.GenerateRequest,
    batches_pb2.CreateBatchRequest,
    studio_pb2.ListModelsRequest,
    studio_pb2.GetModelRequest,
    batches_pb2.ListBatchesRequest,
    batches_pb2.WatchBatchRequest,
    batches_pb2.GetBatchRequest,
)
_CALLER: Final = Caller("ann", frozenset())
_SETTINGS: Final = Settings(destinations="/out")


def request(content: bytes) -> None:
    """A request of any method; the first byte says of which."""
    kind = _REQUESTS[content[0] % len(_REQUESTS)] if content else _REQUESTS[0]
    message: Message = parse(kind, content[1:])
    if isinstance(message, batches_pb2.CreateBatchRequest):
        problems = list(field_problems(message, _SETTINGS, _CALLER))
        resolve(message, _SCHEMA.model, _SETTINGS, _CALLER, problems)
    elif isinstance(message, studio_pb2.ListModelsRequest):
        check_page(message.page_size, message.page_token, model_position)
    elif isinstance(message, studio_pb2.GenerateRequest):
        parse_draw(content[1:])
        list(common_problems(message))
        check_conditions(_SCHEMA.model, message.conditions)


def inference(content: bytes) -> None:
    """A request of the Open Inference Protocol."""
    read(parse(open_inference_pb2.ModelInferRequest, content))


def body(content: bytes) -> None:
    """A request over HTTP, in JSON."""
    parsed(content, studio_pb2.GenerateRequest)


def status(content: bytes) -> None:
    """What a worker says of itself."""
    WorkerStatus.from_json(content)


def activity(content: bytes) -> None:
    """What a worker says of its work."""
    Activity.from_json(content)


def control(content: bytes) -> None:
    """A field of what operators said, as services and workers read it."""
    name, value = (*content.split(SEPARATOR, 1), b"")[:2]
    held = Control.of({name: value})
    assert held.resolve("tiny@1") == "tiny@1"


def picture(content: bytes) -> None:
    """A picture of any format, SVG included."""
    decode(content)


def atlas(content: bytes) -> None:
    """Sprites of any names and sizes."""
    from PIL import Image

    sprites = []
    for line in content.split(b"\n")[:64]:
        width, height = (line + b"\1\1")[:2]
        sprites.append(Sprite(line[2:].decode(errors="replace"), Image.new("RGBA", (width % 64 + 1, height % 64 + 1))))
    packing = Packing(padding=content[0] % 4 if content else 0, extrude=len(content) % 3, largest=64 + len(sprites))
    pack(sprites, packing)


_SIGNED: Final = 16_384  # credentials alone are some 4 kB
_CONTENT: Final = "unikat.content_credentials"
_QUEUE: Final = ("unikat.queue.job", "unikat_worker.admission", "unikat.conditions")
TARGETS: Final = {
    "job": Target(job, (ValueError,), _QUEUE),
    "shard": Target(shard, (ValueError,), ("unikat.queue.job", "unikat.batches.spec")),
    "record": Target(record, (ValueError,), ("unikat.batches.spec",)),
    "status": Target(status, (ValueError,), ("unikat.queue.workers",)),
    "activity": Target(activity, (ValueError,), ("unikat.queue.activity",)),
    "control": Target(control, (), ("unikat.queue.control",)),
    "bundle": Target(bundle, (ValueError,), ("unikat.bundle",)),
    "graph": Target(check_self_contained, (ValueError,), ("unikat.onnx_file",)),
    "directions": Target(directions, (ValueError,), ("unikat.directions",)),
    "parquet": Target(
        parquet,
        (DatasetError,),
        ("unikat.batches.parquet", "unikat_training.data.folder.tables"),
        is_limited=True,
    ),
    "archive": Target(
        archive, (DatasetError,), ("unikat_training.data.folder.container", "unikat_training.data.folder.archives")
    ),
    "table": Target(
        table,
        (DatasetError,),
        ("unikat.tables", "unikat_training.data.folder.tables", "unikat_training.data.folder.tags"),
    ),
    "plan": Target(plan, (Problem,), ("unikat.tables", "unikat.cli.batch.plan")),
    "labels": Target(labels, (TrainingError,), ("unikat_training.imported.labels",)),
    "request": Target(
        request,
        (UnikatError, FieldError),
        ("unikat_service.requests", "unikat_service.limits", "unikat_service.batch_requests", "unikat_service.paging"),
    ),
    "inference": Target(
        inference, (UnikatError,), ("unikat_service.open_inference.inputs", "unikat_service.open_inference.tensors")
    ),
    "body": Target(body, (UnikatError,), ("unikat_gallery.v1.requests",)),
    "picture": Target(
        picture,
        (BrokenPictureError, UnsafePictureError, OtherFormatError),
        ("unikat_training.data.pictures", "unikat_training.data.memory", "unikat_training.data.svg"),
    ),
    "atlas": Target(atlas, (ValueError,), ("unikat.sprites",)),
    "envelope": Target(provenance.envelope, (ValueError,), ("unikat.batches.envelope", "unikat.batches.storage_keys")),
    "credentials": Target(provenance.credentials, (), (f"{_CONTENT}.reading", f"{_CONTENT}.about"), _SIGNED, True),
    "statement": Target(provenance.statement, (OSError,), ("unikat.metadata",)),
    "keys": Target(provenance.keys, (ValueError,), ("unikat.key_file", "unikat.mark_keys")),
    "certificate": Target(
        provenance.certificate, (), (f"{_CONTENT}.signing", "unikat.tls", "unikat.cli.authority", "unikat.pem")
    ),
}
