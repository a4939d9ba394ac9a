"""The whole path as processes: a durable Valkey, services, workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from redis import Redis
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.support.processes import Program, eventually, free_port
from tests.support.valkey import Valkey, running_valkey
from unikat.queue.draws import model_of
from unikat.queue.stream import stream_key


class Stack:
    """One service and any number of workers over one Valkey; each can be killed and started again."""

    def __init__(self, valkey: Valkey, models: Path, **settings: str) -> None:
        """`settings` are environment variables of every program."""
        self.valkey = valkey
        self.redis: Redis = valkey.client()
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.env = {
            "UNIKAT_REDIS_URL": valkey.url,
            "UNIKAT_MODELS": str(models),
            "UNIKAT_LISTEN": self.target,
            "UNIKAT_THREADS": "1",
        } | settings
        self.workers: list[Program] = []
        self.service: Program | None = None

    def start_service(self) -> Program:
        """Returns when it listens."""
        self.service = Program("unikat_service", env=self.env)
        self.service.wait_for_line("service ready")
        return self.service

    def start_worker(self) -> Program:
        """Returns at once; the service sees the worker some time later."""
        worker = Program("unikat_worker", env=self.env)
        self.workers.append(worker)
        return worker

    def start(self, workers: int) -> None:
        """Returns when everything is ready."""
        for _ in range(workers):
            self.start_worker()
        self.start_service()
        for worker in self.workers:
            worker.wait_for_line("worker ready")

    def kill(self, worker: Program) -> None:
        """SIGKILL."""
        self.workers.remove(worker)
        worker.kill()

    def drawing(self) -> Program:
        """The worker that has a job in hand, waited for."""
        busy = eventually(lambda: [w for w in self.workers if w.process.pid in self._busy_pids()])
        return busy[0]

    def _busy_pids(self) -> set[int]:
        names = {job.worker_name for job in self.jobs() if job.is_started}
        return {worker.pid for worker in Worker.all(connection=self.redis) if worker.name in names and worker.pid}

    def jobs(self) -> list[Job]:
        """All jobs that RQ knows."""
        ids = [key.decode().rpartition(":")[2] for key in self.redis.scan_iter("rq:job:*", count=1000)]
        found = Job.fetch_many(ids, connection=self.redis, serializer=JSONSerializer)
        return [job for job in found if job is not None]

    def queued(self) -> int:
        """Jobs that wait."""
        return sum(queue.count for queue in self.queues())

    def queues(self) -> list[Queue]:
        """RQ's queues of draw jobs."""
        every = Queue.all(connection=self.redis, serializer=JSONSerializer)
        return [queue for queue in every if model_of(queue.name)]

    def queue(self) -> Queue:
        """The queue of draw jobs, where there is one."""
        (queue,) = self.queues()
        return queue

    def stream_of(self, job_id: str) -> list[dict[bytes, bytes]]:
        """The entries of a job's result stream."""
        entries = cast(list[tuple[bytes, dict[bytes, bytes]]], self.redis.xrange(stream_key(job_id)))
        return [fields for _, fields in entries]

    def close(self) -> None:
        """Kill everything. What was said last is printed: pytest shows it where a test has failed."""
        for program in [*self.workers, *([self.service] if self.service else [])]:
            program.kill()
            print(f"{program.name} {program.process.pid}:", *program.lines[-30:], sep="\n")
        self.redis.close()


@contextmanager
def running_stack(models: Path, workers: int = 1, fsync: str = "always", **settings: str) -> Iterator[Stack]:
    """A stack that is ready, and gone at the end of the block; `fsync` as in `Valkey`."""
    with ExitStack() as exits:
        stack = Stack(exits.enter_context(running_valkey(fsync)), models, **settings)
        exits.callback(stack.close)
        stack.start(workers)
        yield stack


def pause(program: Program) -> None:
    """SIGSTOP: alive, and silent."""
    os.kill(program.process.pid, signal.SIGSTOP)
