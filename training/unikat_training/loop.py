"""The training loop: begin or continue a run, write what one wants to look at, stop when told to."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from unikat_training.batches import balanced_labels
from unikat_training.changes import change_config
from unikat_training.checkpoint import Progress, checkpoints, load_checkpoint, save_checkpoint
from unikat_training.config import CONFIG, Config, check_same_run, save_config
from unikat_training.data.dataset import Dataset
from unikat_training.environment import choose_device, record_environment, slow_precision
from unikat_training.metrics import forget_after
from unikat_training.operation import Operation
from unikat_training.parallel import anywhere, check_shares, is_main_process, own_device, process_group, processes, wait
from unikat_training.progress import progress_bar
from unikat_training.recorder import Recorder
from unikat_training.report import write_report
from unikat_training.trainer import Computing, Trainer
from unikat_training.warm_start.begin import begin_as_recorded
from unikat_training.warm_start.parent import Parent, check_same_origin, recorded
from unikat_training.watch import warnings_of_data

log = logging.getLogger(__name__)


def train(dataset: Dataset, run: Path, config: Config, operation: Operation, parent: Parent | None = None) -> Progress:
    """Train on what of `dataset` is not held out, from the latest checkpoint if there is one.

    A new run begins from `parent`, if there is one, and records it; `finetune_config` gives it settings.
    Until `operation` says it is enough or SIGTERM or SIGINT arrives. Always ends with a checkpoint and a report.
    Raises TrainingError for settings that cannot be, a run of another configuration, a broken checkpoint, a full disk
    and losses that are no longer numbers.
    """
    config.check_resolution(dataset.resolution)
    parts = dataset.split(config.shares)
    balanced_labels(parts.trained, config)
    device = own_device(choose_device(operation.device))
    if operation.threads:
        torch.set_num_threads(operation.threads)
    with process_group(device):
        check_shares(config.batch)
        if is_main_process():
            begin(run, config, parts.trained, operation.change, parent)
        wait()
        computing = Computing(operation.precision, operation.channels_last, operation.compile)
        trainer = Trainer(config, parts.trained, device, computing)
        progress = resume(run, trainer)
        wait()  # the first checkpoint must not be written before all have looked for one
        recorder = None
        if is_main_process():
            record_environment(run, device, operation.precision, processes())
            if slow := slow_precision(device, operation.precision):
                log.warning(slow)
            forget_after(run, progress)
            recorder = Recorder(run, trainer, parts.validation)
        with stop_signals() as stopped:
            progress = loop(trainer, progress, operation, recorder, stopped)
            if recorder is not None:
                save_checkpoint(run, progress, trainer.state(), operation.keep)
                recorder.pictures(progress)
                recorder.close()
                write_report(run)
        wait()
    return progress


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


def resume(run: Path, trainer: Trainer) -> Progress:
    found = checkpoints(run)
    if not found:
        begin_as_recorded(run, trainer)
        return Progress()
    progress, tensors = load_checkpoint(found[-1], trainer.device)
    trainer.restore(tensors)
    log.info("continuing %s at %d images", run, progress.images)
    return progress


def loop(
    trainer: Trainer, progress: Progress, operation: Operation, recorder: Recorder | None, stopped: Callable[[], bool]
) -> Progress:
    """Steps until it is enough; the main process has a recorder, and writes checkpoints."""
    batch, began, start = trainer.config.batch, time.monotonic(), progress
    until = began + (operation.minutes * 60 or float("inf"))
    saved = began
    with progress_bar(operation.images, start.images, "img", operation.progress and recorder is not None) as bar:
        while progress.images < operation.images:
            if anywhere(stopped() or time.monotonic() > until, trainer.device):
                break
            losses = trainer.step(progress.step)
            now = time.monotonic()
            progress = Progress(progress.step + 1, (progress.step + 1) * batch, start.seconds + now - began)
            if recorder is None:
                continue
            if until < float("inf"):  # for the time left that the bar tells: what the minutes allow
                pace = (progress.images - start.images) / max(now - began, 1e-9)
                bar.total = min(operation.images, start.images + round(pace * (until - began)))
            bar.update(batch)
            recorder.step()
            if crossed(progress.images, batch, operation.log_images):
                row = recorder.metrics(progress, losses)
                bar.set_postfix(
                    D=f"{losses.discriminator:.3f}", G=f"{losses.generator:.3f}", MB=f"{row['memory_mb']:.0f}"
                )
            if crossed(progress.images, batch, operation.sheet_images):
                recorder.pictures(progress)
            if now - saved > operation.checkpoint_seconds:
                save_checkpoint(recorder.run, progress, trainer.state(), operation.keep)
                saved = now
    return progress


def crossed(images: int, batch: int, every: int) -> bool:
    """Whether the last step reached or passed a multiple of `every`."""
    return images // every != (images - batch) // every


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
