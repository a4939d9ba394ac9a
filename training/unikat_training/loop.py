"""The training loop: begin or continue a run, write what one wants to look at, stop when told to."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from unikat_training.batches import balanced_labels
from unikat_training.changes import change_config
from unikat_training.checkpoint import Progress, checkpoints, load_checkpoint, save_checkpoint
from unikat_training.config import CONFIG, Config, check_same_run, save_config
from unikat_training.data.dataset import Dataset
from unikat_training.environment import choose_device, record_environment
from unikat_training.metrics import forget_after
from unikat_training.operation import Operation
from unikat_training.parallel import ProcessGroup, check_shares, own_device, process_group
from unikat_training.progress import progress_bar
from unikat_training.recorder import Recorder
from unikat_training.report import write_report
from unikat_training.trainer import Computing, Trainer
from unikat_training.warm_start.begin import begin_as_recorded
from unikat_training.warm_start.parent import Parent, check_same_origin, recorded
from unikat_training.watch import warnings_of_data

log = logging.getLogger(__name__)


@dataclass
class Session:
    """One of a run: from the checkpoint it began at to the end of the process."""

    run: Path
    trainer: Trainer
    operation: Operation
    progress: Progress
    recorder: Recorder | None  # of the main process
    images_before: int = 0  # shown in earlier sessions


def train(dataset: Dataset, run: Path, config: Config, operation: Operation, parent: Parent | None = None) -> Progress:
    """Train on what of `dataset` is not held out, from the latest checkpoint if there is one.

    A new run begins from `parent`, if there is one, and records it; `finetune_config` gives it settings.
    Until `operation` says it is enough or SIGTERM or SIGINT arrives. Always ends with a checkpoint and a report.
    Raises TrainingError for settings that cannot be, a run of another configuration, a broken checkpoint, a full disk
    and losses that are no longer numbers.
    """
    config.check_resolution(dataset.resolution)
    parts = dataset.split(config.shares)
    dataset = parts.trained
    balanced_labels(dataset, config)
    device = own_device(choose_device(operation.device))
    if operation.threads:
        torch.set_num_threads(operation.threads)
    with process_group(device) as processes:
        check_shares(config.batch, config.accumulate, processes.size)
        if processes.is_main:
            begin(run, config, dataset, operation.change, parent)
        processes.wait()
        trainer = Trainer(config, dataset, device, computing(operation, processes))
        progress = resume(run, trainer, device)
        processes.wait()  # the first checkpoint must not be written before all have looked for one
        recorder = None
        if processes.is_main:
            record_environment(run, device, operation.precision, processes.size)
            forget_after(run, progress)
            recorder = Recorder(run, trainer, parts.validation)
        session = Session(run, trainer, operation, progress, recorder, progress.images)
        with stop_signals() as stopped:
            loop(session, stopped)
            finish(session)
        processes.wait()
    return session.progress


def finish(session: Session) -> None:
    """The last checkpoint, sheet and report of a session."""
    if session.recorder is not None:
        save(session)
        session.recorder.pictures(session.progress)
        session.recorder.close()
        write_report(session.run)


def begin(run: Path, config: Config, dataset: Dataset, change: bool, parent: Parent | None = None) -> None:
    """Writes what a new run is, or checks that it is what this one was, but for what is to `change`."""
    description = {"name": dataset.name, "path": str(dataset.path), "digest": dataset.digest}
    if (run / CONFIG).exists():
        if change:
            change_config(run, config)
        check_same_run(run, config, description)
        if parent is not None:
            check_same_origin(run, parent)
    else:
        run.mkdir(parents=True, exist_ok=True)
        save_config(run, config, description, recorded(parent))
    for warning in warnings_of_data(dataset, config):
        log.warning(warning)


def computing(operation: Operation, processes: ProcessGroup) -> Computing:
    return Computing(operation.precision, operation.channels_last, operation.compile, processes)


def resume(run: Path, trainer: Trainer, device: torch.device) -> Progress:
    found = checkpoints(run)
    if not found:
        begin_as_recorded(run, trainer)
        return Progress()
    progress, tensors = load_checkpoint(found[-1], device)
    trainer.restore(tensors)
    log.info("continuing %s at %d images", run, progress.images)
    return progress


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Within, SIGTERM and SIGINT only set what is returned; a second one acts as it did before."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def loop(session: Session, stopped: Callable[[], bool]) -> Progress:
    trainer, operation = session.trainer, session.operation
    batch, began = trainer.config.batch, time.monotonic()
    earlier, until = session.progress.seconds, began + (operation.minutes * 60 or float("inf"))
    saved = began
    shown = operation.progress and session.recorder is not None
    with progress_bar(operation.images, session.progress.images, "img", shown) as bar:
        while session.progress.images < operation.images:
            if trainer.computing.processes.any(stopped() or time.monotonic() > until):
                break
            step = session.progress.step
            losses = trainer.step(step)
            seconds = earlier + time.monotonic() - began
            session.progress = Progress(step + 1, (step + 1) * batch, seconds)
            if session.recorder is None:
                continue
            bar.total = expected(session, began, until)
            bar.update(batch)
            session.recorder.step()
            if crossed(session.progress.images, batch, operation.log_images):
                row = session.recorder.metrics(session.progress, losses)
                bar.set_postfix(
                    D=f"{losses.discriminator:.3f}", G=f"{losses.generator:.3f}", MB=f"{row['memory_mb']:.0f}"
                )
            if crossed(session.progress.images, batch, operation.sheet_images):
                session.recorder.pictures(session.progress)
            if time.monotonic() - saved > operation.checkpoint_seconds:
                save(session)
                saved = time.monotonic()
    return session.progress


def expected(session: Session, began: float, until: float) -> int:
    """Images at the end of the session, for the bar's time left: those asked for, or what the minutes allow."""
    progress, limit = session.progress, session.operation.images
    if until == float("inf"):
        return limit
    before = session.images_before
    speed = (progress.images - before) / max(time.monotonic() - began, 1e-9)
    return min(limit, before + round(speed * (until - began)))


def crossed(images: int, batch: int, every: int) -> bool:
    """Whether the last step reached or passed a multiple of `every`."""
    return images // every != (images - batch) // every


def save(session: Session) -> None:
    save_checkpoint(session.run, session.progress, session.trainer.state(), session.operation.keep)
