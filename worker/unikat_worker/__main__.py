"""The program: `python -m unikat_worker`, for process supervisors; people type `unikat work`."""

from __future__ import annotations

import logging

import typer

from unikat.observed import NotServed
from unikat.queue.clients import connect
from unikat.queue.server import Unfit, wait_until_fit
from unikat.settings import command_of
from unikat_worker.batches.places import Places
from unikat_worker.buckets import Limits
from unikat_worker.catalogue import Catalogue, Memory
from unikat_worker.content_gate import ContentGate, GateError
from unikat_worker.content_limits import ContentLimits
from unikat_worker.device import DeviceError, choose_device
from unikat_worker.drawing import Finish
from unikat_worker.executor import Executor
from unikat_worker.judge import Judge
from unikat_worker.marks import Marks
from unikat_worker.settings import Settings
from unikat_worker.worker import DrawWorker

log = logging.getLogger("worker")


def run(settings: Settings) -> None:
    """Draw artworks: take jobs from the queue, draw them in batches, stream the images back."""
    settings.begin_log()
    for name in ("rq.worker", "rq.job", "rq.registry"):
        logging.getLogger(name).setLevel(max(logging.getLogger().level, logging.WARNING))
    try:
        places = Places.of(settings)
        marks = _marks(settings)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    try:
        device = choose_device(settings.device, settings.threads, settings.inference_threads)
        gate = ContentGate(ContentLimits.parse(settings.content_gate), device) if settings.content_gate else None
    except (DeviceError, GateError) as error:
        raise SystemExit(str(error)) from error
    limits = Limits(settings.max_batch, settings.batch_ms / 1000, settings.batch_mb * 2**20)
    memory = Memory(settings.preload, settings.memory_limit_mb * 2**20)
    catalogue = Catalogue(settings.models, device, limits, memory)
    catalogue.scan()
    try:
        redis = connect(settings.redis_url, "unikat-worker")
        wait_until_fit(redis, log.warning, settings.allow_volatile)
    except (Unfit, ValueError) as error:
        raise SystemExit(f"--redis-url: {error}") from error
    executor = Executor(catalogue, device, Finish(Judge(gate), marks), limits)
    try:
        DrawWorker(redis, settings, executor, places).work()
    except NotServed as error:
        raise SystemExit(str(error)) from error


def _marks(settings: Settings) -> Marks:
    """Raises ValueError naming the setting."""
    try:
        return Marks(settings.mark_keys)
    except (OSError, ValueError) as error:
        raise ValueError(f"--mark-keys: {error}") from error


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(command_of(Settings, run))

if __name__ == "__main__":
    app(prog_name="python -m unikat_worker")
