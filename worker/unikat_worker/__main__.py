"""The program: `python -m unikat_worker`, for process supervisors; people type `unikat work`."""

from __future__ import annotations

import logging
import time

import typer
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, TimeoutError
from redis.retry import Retry

from unikat.batches.destination import open_prefixes
from unikat.printable import log_to_stderr
from unikat.queue.server import server_problem
from unikat.settings import command_of
from unikat_worker.buckets import Limits
from unikat_worker.catalogue import Catalogue, Memory
from unikat_worker.device import DeviceError, choose_device
from unikat_worker.settings import Settings
from unikat_worker.worker import DrawWorker

log = logging.getLogger("worker")


def connect(url: str) -> Redis:
    """A client that fails at once: what may be sent again, and after which pause, the worker knows better."""
    redis = Redis.from_url(url, socket_timeout=10, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0))
    if not url.startswith("unix:"):
        redis.connection_pool.connection_kwargs["socket_keepalive"] = True  # a peer that vanished is noticed
    return redis


def wait_for_redis(redis: Redis) -> None:
    """Return when it answers: in a compose file nobody knows who is up first. Exits if it cannot be used."""
    pause = 0.05
    while True:
        try:
            problem = server_problem(redis.info())
        except (ConnectionError, TimeoutError) as error:
            log.warning("waiting for Redis: %s", error)
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
        else:
            if problem:
                raise SystemExit(f"--redis-url: {problem}")
            return


def run(settings: Settings) -> None:
    """Draw artworks: take jobs from the queue, draw them in batches, stream the images back."""
    log_to_stderr(settings.log_level.upper())
    for name in ("rq.worker", "rq.job", "rq.registry"):
        logging.getLogger(name).setLevel(max(logging.getLogger().level, logging.WARNING))
    try:
        open_prefixes(settings.destinations)
    except ValueError as error:
        raise SystemExit(f"--destinations: {error}") from error
    try:
        device = choose_device(settings.device, settings.threads, settings.inference_threads)
    except DeviceError as error:
        raise SystemExit(str(error)) from error
    limits = Limits(settings.max_batch, settings.batch_ms / 1000, settings.batch_mb * 2**20)
    memory = Memory(settings.preload, settings.memory_limit_mb * 2**20)
    catalogue = Catalogue(settings.models, device, limits, memory)
    catalogue.scan()
    redis = connect(settings.redis_url)
    wait_for_redis(redis)
    DrawWorker(redis, settings, device, catalogue).work()


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(command_of(Settings, run))

if __name__ == "__main__":
    app(prog_name="python -m unikat_worker")
