"""The training loop: begin or continue a run, write what one wants to look at, stop when told to."""

import json
import logging
import platform
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import numpy as np
import numpy.typing as npt
import torch

from training.batches import balanced_labels
from training.checkpoint import Progress, checkpoints, load_checkpoint, save_checkpoint
from training.config import CONFIG, Config, check_same_run, save_config
from training.data.dataset import Dataset
from training.errors import TrainingError
from training.latents import latents
from training.operation import Operation
from training.parallel import Team, check_shares, own_device, team
from training.pictures import COLUMNS, Row, choose_rows, draw_sheet, loss_curve
from training.progress import progress_bar
from training.sampler import SMALL_CELL, small_cells
from training.trainer import Computing, Losses, Trainer

METRICS = "metrics.jsonl"
ENVIRONMENT = "environment.json"
SHEETS = "sheets"
PREVIEW_SEED = 0

log = logging.getLogger(__name__)


@dataclass
class Session:
    """One sitting of a run: from the checkpoint it began at to the end of the process."""

    run: Path
    trainer: Trainer
    operation: Operation
    progress: Progress


def train(dataset: Dataset, run: Path, config: Config, operation: Operation) -> Progress:
    """Train on what of `dataset` is not held out, from the latest checkpoint if there is one.

    Until `operation.images` have been shown or SIGTERM or SIGINT arrives. Always ends with a checkpoint. Raises
    TrainingError for settings that cannot be, a run of another configuration, a broken checkpoint and losses that are
    no longer numbers.
    """
    config.check_resolution(dataset.resolution)
    dataset, _ = dataset.split(config.held_out)
    balanced_labels(dataset, config)
    device = own_device(choose_device(operation.device))
    if operation.threads:
        torch.set_num_threads(operation.threads)
    with team(device) as processes:
        check_shares(config.batch, config.accumulate, processes.size)
        if processes.leads:
            begin(run, config, dataset)
        processes.wait()
        trainer = Trainer(config, dataset, device, computing(operation, processes))
        progress = resume(run, trainer, device)
        processes.wait()  # the first checkpoint must not be written before all have looked for one
        if processes.leads:
            record_environment(run, device, operation.precision)
            forget_metrics_after(run, progress)
        with stop_signals() as stopped:
            return loop(Session(run, trainer, operation, progress), stopped)


def begin(run: Path, config: Config, dataset: Dataset) -> None:
    """Writes what a new run is, or checks that it is what this one was."""
    description = {"name": dataset.name, "path": str(dataset.path), "digest": dataset.digest}
    if (run / CONFIG).exists():
        check_same_run(run, config, description)
    else:
        (run / SHEETS).mkdir(parents=True, exist_ok=True)
        save_config(run, config, description)
    warn_of_small_cells(dataset)


def computing(operation: Operation, processes: Team) -> Computing:
    return Computing(operation.precision, operation.channels_last, operation.compile, processes)


def choose_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise TrainingError(f"device: must be auto, cpu or cuda, not {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device: no CUDA device is visible to torch; use --device cpu or auto")
    return torch.device(name)


def warn_of_small_cells(dataset: Dataset) -> None:
    small = small_cells(dataset.labels) if dataset.attributes else []
    for labels, size in small[:10]:
        name = ", ".join(a.categories[label] for a, label in zip(dataset.attributes, labels, strict=True))
        log.warning("only %d pictures of (%s): with fewer than %d expect copies of them", size, name, SMALL_CELL)
    if len(small) > 10:
        log.warning("… and %d more cells with fewer than %d pictures", len(small) - 10, SMALL_CELL)


def resume(run: Path, trainer: Trainer, device: torch.device) -> Progress:
    found = checkpoints(run)
    if not found:
        return Progress()
    progress, tensors = load_checkpoint(found[-1], device)
    trainer.restore(tensors)
    log.info("continuing %s at %d images", run, progress.images)
    return progress


def record_environment(run: Path, device: torch.device, precision: str) -> None:
    """What the run is computed with, for its model card; of the generator's precision, what each sitting used."""
    path = run / ENVIRONMENT
    precisions = json.loads(path.read_text()).get("precisions", []) if path.exists() else []
    if precisions[-1:] != [precision]:
        precisions.append(precision)
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_cores(torch.get_num_threads())
    document = {
        "hardware": hardware,
        "precisions": precisions,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "unikat")},
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def cpu_cores(count: int) -> str:
    return f"CPU, {count} core{'s' if count > 1 else ''}"


def read_metrics(run: Path) -> list[dict[str, float]]:
    path = run / METRICS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def forget_metrics_after(run: Path, progress: Progress) -> None:
    """Drop lines that a killed sitting wrote after its last checkpoint: they will be written again."""
    kept = []
    for line in (run / METRICS).read_text().splitlines() if (run / METRICS).exists() else []:
        try:
            if json.loads(line)["step"] <= progress.step:
                kept.append(line)
        except ValueError:  # cut short by the kill
            continue
    (run / METRICS).write_text("".join(f"{line}\n" for line in kept))


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
    processes = trainer.computing.team
    batch, began, saved = trainer.config.batch, time.monotonic(), time.monotonic()
    earlier, until = session.progress.seconds, began + (operation.minutes * 60 or float("inf"))
    shown = operation.progress and processes.leads
    with progress_bar(operation.images, session.progress.images, "img", shown) as bar:
        while session.progress.images < operation.images:
            if processes.any(stopped() or time.monotonic() > until):
                break
            step = session.progress.step
            losses = trainer.step(step)
            seconds = earlier + time.monotonic() - began
            session.progress = Progress(step + 1, (step + 1) * batch, seconds)
            if not processes.leads:
                continue
            bar.update(batch)
            if crossed(session.progress.images, batch, operation.log_images):
                write_metrics(session, losses)
                bar.set_postfix(D=f"{losses.discriminator:.3f}", G=f"{losses.generator:.3f}")
            if crossed(session.progress.images, batch, operation.sheet_images):
                write_pictures(session)
            if time.monotonic() - saved > operation.checkpoint_seconds:
                save(session)
                saved = time.monotonic()
    if processes.leads:
        save(session)
        write_pictures(session)
    processes.wait()
    return session.progress


def crossed(images: int, batch: int, every: int) -> bool:
    """Whether the last step reached or passed a multiple of `every`."""
    return images // every != (images - batch) // every


def save(session: Session) -> None:
    save_checkpoint(session.run, session.progress, session.trainer.state(), session.operation.keep)


def write_metrics(session: Session, losses: Losses) -> None:
    row = {**vars(session.progress), **vars(losses)}
    with (session.run / METRICS).open("a") as file:
        file.write(json.dumps(row) + "\n")


def write_pictures(session: Session) -> None:
    """A sample sheet of the averaged generator, always with the same latents, and the curve so far."""
    trainer = session.trainer

    def draw(index: int, row: Row) -> npt.NDArray[np.uint8]:
        return preview(trainer, row.condition)

    sheet = draw_sheet(choose_rows(trainer.dataset), COLUMNS, draw)
    sheet.save(session.run / SHEETS / f"{session.progress.images:09d}.png")
    metrics = read_metrics(session.run)
    if metrics:
        loss_curve(metrics, session.run / "loss.png")


@torch.no_grad()
def preview(trainer: Trainer, condition: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    latent = latents(PREVIEW_SEED, range(COLUMNS), trainer.config.latent, trainer.device)
    repeated = torch.from_numpy(condition).to(trainer.device).expand(COLUMNS, -1) if len(condition) else None
    images = trainer.average(latent, repeated)  # (n, 3, H, H)
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    drawn: npt.NDArray[np.uint8] = pixels.cpu().contiguous().numpy()
    return drawn
