"""The methods of `unikat.v1.Batches`. Each takes a request's bytes; what blocks is done in threads of their own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import PreconditionFailure
from redis import Redis
from redis.exceptions import RedisError

from unikat.batches.destination import normalise
from unikat.batches.record import BatchRecord
from unikat.batches.spec import BatchSpec
from unikat.bundle import key_of
from unikat.call_records import current_record
from unikat.errors import Reason, UnikatError, bad_field, error_of, make_status
from unikat.queue.batches.budget import Allowance, BudgetSpent
from unikat.queue.batches.jobs import NoSuchBatch
from unikat.queue.batches.keys import BATCH_ID, batch_id_of
from unikat.queue.batches.places import DestinationTaken
from unikat.queue.batches.store import BatchStore, WrongState
from unikat.queue.budget import ASK, work_in_progress
from unikat.queue.job import fingerprint
from unikat.v1 import batches_pb2 as pb
from unikat.v1.model_pb2 import Model
from unikat_service.batch_requests import field_problems, resolve
from unikat_service.budgets import allowance, batch_refused, store_full
from unikat_service.callers import Caller, current
from unikat_service.catalogue import Catalogue
from unikat_service.errors import Context, SomebodyElses, translated
from unikat_service.estimates import estimate
from unikat_service.paging import batch_page
from unikat_service.requests import check_limits, find_model, parse, parse_unchecked, reused
from unikat_service.settings import Settings
from unikat_service.terms import Terms, require_terms
from unikat_service.watcher import Watcher, look_at

NAME: Final = pb.DESCRIPTOR.services_by_name["Batches"].full_name
# Not those of interactive calls: no call waits for a thread because a batch is large.
THREADS: Final = 4
EXPIRE_EVERY_S: Final = 60.0

log = logging.getLogger(__name__)

T = TypeVar("T")


class Batches:
    """`unikat.v1.Batches`. A caller sees its own batches only; one that is an administrator, or nobody, sees all."""

    def __init__(self, catalogue: Catalogue, redis: Redis, settings: Settings) -> None:
        """`redis` is used from threads."""
        self._catalogue = catalogue
        self._settings = settings
        self._store = BatchStore(redis)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="batches")
        # One large batch at a time is in the making: two would take the interpreter from interactive calls.
        self._creating = asyncio.Lock()
        self.watcher = Watcher(self._store, self._threads)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Batches]:
        """With the watcher's task, until the end of the block."""
        tasks = [asyncio.create_task(work) for work in (self.watcher.run(), self._expire())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._threads.shutdown()

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        unary = {
            "CreateBatch": self.create_batch,
            "EstimateBatch": self.estimate_batch,
            "GetBatch": self.get_batch,
            "ListBatches": self.list_batches,
            "CancelBatch": self.cancel_batch,
            "RetryBatch": self.retry_batch,
            "DeleteBatch": self.delete_batch,
        }
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            name: grpc.unary_unary_rpc_method_handler(translated(method)) for name, method in unary.items()
        }
        methods["WatchBatch"] = grpc.unary_stream_rpc_method_handler(translated(self.watch_batch))
        return grpc.method_handlers_generic_handler(NAME, methods)

    async def create_batch(self, data: bytes, context: Context) -> bytes:
        """Check a batch and queue it; or return the one that its request_id stands for."""
        request, caller = parse_unchecked(pb.CreateBatchRequest, data), current()
        await self._in_thread(lambda: check_limits(request))
        batch = batch_id_of(caller.own(request.request_id))
        record = current_record()
        record.batch = batch
        # First of all: the same call again gets its batch, whatever has become of workers, models and settings.
        there = await self._in_thread(lambda: self._same_again(batch, request))
        if there is not None:
            return there
        model, resolved = await self._checked(request, caller)
        record.model = key_of(model)
        snapshot = self._catalogue.snapshot
        if snapshot.memory_percent >= self._settings.batch_memory_percent:
            raise store_full(self._settings.batch_memory_percent, "--batch-memory-percent")
        allowed = allowance(self._settings, caller.name, snapshot.rates.get(model.digest, 0.0))

        async with self._creating:
            return await self._to_the_end(lambda: self._create(batch, request, resolved(), allowed, caller))

    async def estimate_batch(self, data: bytes, context: Context) -> bytes:
        """What a batch would be."""
        request, caller = parse_unchecked(pb.CreateBatchRequest, data), current()
        await self._in_thread(lambda: check_limits(request))
        model, resolved = await self._checked(request, caller)
        snapshot, now = self._catalogue.snapshot, self._catalogue.clock.now()
        allowed = allowance(self._settings, caller.name, snapshot.rates.get(model.digest, 0.0))

        def work() -> bytes:
            spec, redis = resolved(), self._store.redis
            reply = redis.execute_command(*ASK)  # type: ignore[no-untyped-call]  # redis-py leaves it out
            of_calls = work_in_progress(reply, now, self._settings.result_ttl_s)
            ahead = of_calls + self._store.work_left()
            return estimate(model, spec.total, allowed.seconds(spec), ahead, snapshot).SerializeToString()

        async with self._creating:  # a large one takes the interpreter from calls, as in its creation
            return await self._to_the_end(work)

    async def _checked(self, request: pb.CreateBatchRequest, caller: Caller) -> tuple[Model, Callable[[], BatchSpec]]:
        """The model of a request, and what checks and resolves the rest of it, in a thread.

        Both raise UnikatError.
        """
        problems = await self._in_thread(lambda: list(field_problems(request, self._settings, caller)))
        model = await find_model(self._catalogue, request.model, problems)
        snapshot, trace = self._catalogue.snapshot, current_record().trace

        def resolved() -> BatchSpec:
            spec = resolve(request, model, self._settings, caller, problems)
            terms = Terms(spec.originality, deny=spec.deny, recipe=spec.recipes, credentials=spec.credentials)
            require_terms(model, terms, snapshot)
            return replace(spec, trace=trace)

        return model, resolved

    async def get_batch(self, data: bytes, context: Context) -> bytes:
        request, caller = parse(pb.GetBatchRequest, data), current()
        _note(request.id)
        return await self._in_thread(lambda: self._message(self._visible(request.id, caller)))

    async def list_batches(self, data: bytes, context: Context) -> bytes:
        request, caller = parse(pb.ListBatchesRequest, data), current()
        return await self._in_thread(lambda: batch_page(self._store, request, caller.confined_to).SerializeToString())

    async def cancel_batch(self, data: bytes, context: Context) -> bytes:
        id = parse(pb.CancelBatchRequest, data).id
        return await self._change(id, context, self._store.cancel, lambda: self._message(self._read(id)))

    async def retry_batch(self, data: bytes, context: Context) -> bytes:
        id = parse(pb.RetryBatchRequest, data).id
        return await self._change(id, context, self._store.retry, lambda: self._message(self._read(id)))

    async def delete_batch(self, data: bytes, context: Context) -> bytes:
        request = parse(pb.DeleteBatchRequest, data)
        return await self._change(request.id, context, self._store.delete, Empty().SerializeToString)

    async def watch_batch(self, data: bytes, context: Context) -> None:
        """A batch at every change, until it has ended."""
        request, caller = parse(pb.WatchBatchRequest, data), current()
        _note(request.id)
        look = await self._in_thread(lambda: look_at(self._visible(request.id, caller)))
        watch = self.watcher.open(request.id, look.revision)
        try:
            # Another revision and not only a later one: Redis may have been set up anew since.
            if look.revision != request.after_revision:
                await context.write(look.message)
            while not look.is_last:
                look = await watch.next()
                await context.write(look.message)
        finally:
            self.watcher.close(watch)

    async def _expire(self) -> None:
        """Forget batches that ended long ago, until cancelled."""
        seconds = self._settings.batch_ttl_days * 86_400
        while seconds:
            try:
                expired = await self._in_thread(lambda: self._store.expire(seconds))
                if expired:
                    log.info("Forgot %d batches that ended %g days ago", len(expired), self._settings.batch_ttl_days)
            except Exception as error:  # whatever it is: the next look comes
                log.warning("Looking for batches to forget: %s", error, exc_info=not isinstance(error, RedisError))
            await asyncio.sleep(min(EXPIRE_EVERY_S, seconds))

    def _same_again(self, batch: str, request: pb.CreateBatchRequest) -> bytes | None:
        """The batch that a request_id stands for already. Raises UnikatError (ALREADY_EXISTS) for other content."""
        content = self._store.content(batch) if request.request_id else None
        if content is None:
            return None
        if content != fingerprint(request):
            raise reused()
        return self._message(self._read(batch))

    def _create(
        self, batch: str, request: pb.CreateBatchRequest, spec: BatchSpec, allowed: Allowance, caller: Caller
    ) -> bytes:
        content = fingerprint(request)
        try:
            # Somebody else may be faster, with something else.
            if self._store.create(batch, spec, content, allowed) != content:
                raise reused()
        except BudgetSpent as spent:
            raise batch_refused(spent) from spent
        except DestinationTaken as taken:
            raise self._taken(taken, request.destination, caller) from taken
        return self._message(self._read(batch))

    async def _change(
        self, batch: str, context: Context, change: Callable[[str], None], reply: Callable[[], bytes]
    ) -> bytes:
        """Change a batch. Raises NoSuchBatch, and UnikatError (FAILED_PRECONDITION)."""
        caller = current()
        _note(batch)

        def work() -> bytes:
            self._visible(batch, caller)
            try:
                change(batch)
            except WrongState as error:
                violation = PreconditionFailure.Violation(type="STATE", subject=batch, description=str(error))
                details = PreconditionFailure(violations=[violation])
                status = make_status(Code.FAILED_PRECONDITION, str(error), Reason.BATCH_STATE, details)
                raise error_of(status) from error
            return reply()

        return await self._in_thread(work)

    def _visible(self, batch: str, caller: Caller) -> BatchRecord:
        """The batch, if the caller may see it. Raises NoSuchBatch."""
        record = self._read(batch)
        if caller.confined_to not in (None, record.head["owner"]):
            raise SomebodyElses(batch)
        return record

    def _read(self, batch: str) -> BatchRecord:
        if not BATCH_ID.fullmatch(batch):  # which would name another key
            raise NoSuchBatch(batch)
        return self._store.read(batch)

    def _message(self, record: BatchRecord) -> bytes:
        """The batch with its plans."""
        return record.to_message(self._store.spec(record.id).cells).SerializeToString()

    def _taken(self, taken: DestinationTaken, asked: str, caller: Caller) -> UnikatError:
        """ALREADY_EXISTS; the batch is named to those who may see it."""
        owners = [record.head["owner"] for record in self._store.read_many([taken.batch])]
        there, wanted = taken.destination, normalise(asked)
        where = "is" if there == wanted else "lies in" if wanted.startswith(there) else "has in it"
        text = f"{where} the folder of a batch of somebody else's; choose another folder"
        if caller.sees_all or caller.name in owners:
            text = (
                f"{where} the folder of batch {taken.batch}; choose another: this one can be used again when that "
                "batch is deleted and its files are removed"
            )
        return error_of(bad_field("destination", text, Code.ALREADY_EXISTS, Reason.DESTINATION_TAKEN))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _to_the_end(self, work: Callable[[], T]) -> T:
        """As `_in_thread`, but a caller that leaves waits for the thread, whose turn it has."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise


def _note(batch: str) -> None:
    """The call's record names the batch; what can be no batch's id is left out."""
    if BATCH_ID.fullmatch(batch):
        current_record().batch = batch
