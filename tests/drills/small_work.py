"""Small pieces of work for a stack, each with what its caller got: images in their order, batches and their files."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

import grpc
from redis import Redis
from rq.suspension import resume, suspend

from tests.end_to_end.shop import Shop, plan
from tests.support.batch_calls import tree
from tests.support.processes import eventually
from unikat import Studio
from unikat.batches.record import ENDED
from unikat.batches.spec import DRAW_SHARD
from unikat.batches.verify import verify
from unikat.link import OPTIONS
from unikat.queue.batches.keys import batch_key, done_key, shard_job_id
from unikat.queue.workers import worker_key
from unikat.v1 import batches_pb2 as pb
from unikat.v1.studio_pb2 import GenerateRequest
from unikat.v1.studio_pb2_grpc import StudioStub

IMAGES: Final = 12  # of a call
SHARDS: Final = 3
SHARD: Final = 8  # images

Outcome = dict[str, object]


@dataclass(frozen=True)
class Work:
    """Where work is done, and the name that it gives to what it asks for."""

    shop: Shop
    studio: Studio
    name: str
    settled: Callable[
        [str], Outcome
    ]  # waits until no job is under way, and says how all ended; of a batch what is kept

    def create(self, shards: int = SHARDS, size: int = SHARD) -> pb.Batch:
        """A batch of this work."""
        return self.shop.create(self.name, plans=plan(shards * size), shard_size=size)

    def ended(self, batch: str) -> pb.Batch:
        """Waited for by a look into Redis: asking the service would be a round trip of it each time."""
        eventually(lambda: self.shop.stack.redis.hexists(batch_key(batch), ENDED), 60)
        return self.shop.calls.get(batch)

    def delete(self, batch: pb.Batch) -> Outcome:
        """What there was of a batch that has ended."""
        counts = [pb.Batch.State.Name(batch.state), batch.drawn_count, batch.failed_count]
        outcome = {"batch": counts, "files": tree(self.shop.open_folder / self.name)} | self.settled(batch.id)
        with suppressed(grpc.StatusCode.NOT_FOUND):  # the answer to the first try got lost with the service
            self.shop.calls.delete(batch.id)
        return outcome


def generate(work: Work) -> Outcome:
    """Under a request_id."""
    images = work.studio.generate("tiny", {"style": "ink"}, count=IMAGES, seed=5, request_id=work.name)
    return {"images": [_seen(image.index, image.data) for image in images]} | work.settled("")


def generate_anonymously(work: Work) -> Outcome:
    """Without a request_id: where the service dies, its caller begins again."""
    request = GenerateRequest(model="tiny", count=IMAGES, seed=5)
    request.conditions.add(attribute="style", category="ink")
    while True:
        with suppressed(grpc.StatusCode.UNAVAILABLE), grpc.insecure_channel(work.studio.target, OPTIONS) as channel:
            responses = list(StudioStub(channel).Generate(request, wait_for_ready=True))
            assert responses[-1].WhichOneof("event") == "finished"
            return {"images": [_seen(response.artwork.index, response.artwork.image) for response in responses[1:-1]]}


def leave(work: Work) -> Outcome:
    """A call of which its caller wants only the first image."""
    with work.studio.generate("tiny", count=500, seed=1) as images:
        first = next(images)
    work.settled("")  # its worker ends it later
    return {"first": _seen(first.index, first.data)}


def draw_batch(work: Work) -> Outcome:
    """A batch that succeeds."""
    return work.delete(work.ended(work.create().id))


def cancel_batch(work: Work) -> Outcome:
    """A batch that is called off while it is drawn: its manifest names what is there."""
    batch = work.create(shards=100, size=32).id  # seconds
    eventually(lambda: work.shop.stack.redis.bitcount(done_key(batch)))
    work.shop.calls.cancel(batch)
    ended = work.ended(batch)
    report = verify(ended.destination)
    assert not report.problems, report.problems
    assert 0 < ended.drawn_count < ended.total_count
    work.delete(ended)
    return {"batch": pb.Batch.State.Name(ended.state)}


def retry_batch(work: Work) -> Outcome:
    """A batch of which a shard fails, and succeeds in the second round."""
    redis = work.shop.stack.redis
    suspend(redis)
    moment = time.time()
    eventually(lambda: any(beat_at > moment for beat_at in beats(redis)))  # its worker knows
    batch = work.create().id
    redis.hset(f"rq:job:{shard_job_id(batch, 1)}", "data", json.dumps([DRAW_SHARD, None, [], {"cat": "dog"}]))
    resume(redis)
    ended = work.ended(batch)
    if ended.state != pb.Batch.STATE_SUCCEEDED:  # else only RQ was told of the failure, and it was drawn once more
        assert [failure.shard for failure in ended.failures] == [1], ended
        with suppressed(grpc.StatusCode.FAILED_PRECONDITION):  # as in `delete`
            work.shop.calls.retry(batch)
        ended = work.ended(batch)
    found = work.delete(ended)
    return {"batch": found["batch"], "files": found["files"]}


Piece = Callable[[Work], Outcome]

PIECES: Final[tuple[Piece, ...]] = (generate, generate_anonymously, leave, draw_batch, cancel_batch, retry_batch)


def _seen(index: int, data: bytes) -> tuple[int, str]:
    return index, hashlib.sha256(data).hexdigest()


def beats(redis: Redis) -> list[float]:
    """Unix times at which workers said last that they are alive."""
    texts = redis.mget(cast("list[bytes]", redis.keys(worker_key("*"))) or ["none"])
    return [json.loads(text)["beat_at"] for text in cast("list[bytes | None]", texts) if text]


@contextmanager
def suppressed(code: grpc.StatusCode) -> Iterator[None]:
    """Until the end of the block, a call may end with a code."""
    try:
        yield
    except grpc.RpcError as error:
        if error.code() != code:
            raise
