"""A running stack that draws batches into a folder that is open to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.stack import Stack, running_stack
from tests.support.batch_calls import BatchCalls
from unikat.v1 import batches_pb2 as pb


@dataclass(frozen=True)
class Shop:
    """The stack, its batches, and the open folder."""

    stack: Stack
    calls: BatchCalls
    open_folder: Path
    model: str

    def create(self, name: str, **fields: object) -> pb.Batch:
        """A batch into the folder `name`; `fields` are those of CreateBatchRequest."""
        request = {"model": self.model, "seed": 11, "request_id": name} | fields
        request |= {"destination": str(self.open_folder / name)}
        return self.calls.create(pb.CreateBatchRequest(**request))  # type: ignore[arg-type]  # fields by name

    def finish(self, name: str, deadline: float = 60.0, **fields: object) -> Path:
        """The folder of such a batch, once it has succeeded."""
        self.calls.finish(self.create(name, **fields).id, deadline)
        return self.open_folder / name


@contextmanager
def running_shop(
    models: Path, open_folder: Path, model: str = "tiny", workers: int = 1, fsync: str = "everysec", **settings: str
) -> Iterator[Shop]:
    """A shop that is ready, and gone at the end of the block; the files stay. The rest is as in `running_stack`."""
    settings = {"UNIKAT_DESTINATIONS": f"file://{open_folder}"} | settings
    with running_stack(models, workers, fsync, **settings) as stack, BatchCalls(stack.target) as calls:
        yield Shop(stack, calls, open_folder, model)


def plan(count: int) -> list[pb.Plan]:
    """Images without a wish."""
    return [pb.Plan(count=count)]
