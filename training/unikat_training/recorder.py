"""What a run writes to be looked at: figures, sample sheets, curves, warnings, and the best checkpoint."""

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from unikat.pictures import on_white
from unikat.sampling import latents
from unikat_training.checkpoint import Progress, best_figure, save_best
from unikat_training.data.dataset import Dataset
from unikat_training.environment import peak_memory
from unikat_training.metrics import METRICS, TensorBoard, append, read_metrics
from unikat_training.pictures import COLUMNS, choose_rows, curves
from unikat_training.quality import NAME, RandomFrechet
from unikat_training.sheet import Block, Strip, draw_sheet
from unikat_training.trainer import Losses, Trainer
from unikat_training.watch import UNTRAINED, Watch, warnings_of_figures, warnings_of_sheet

SHEETS = "sheets"
CURVES = "loss.png"
PREVIEW_SEED = 0


class Recorder:
    """Of one session, in the main process."""

    def __init__(self, run: Path, trainer: Trainer, validation: Dataset | None) -> None:
        self.run, self.trainer = run, trainer
        self.rows = choose_rows(trainer.dataset)
        self.random_frechet = RandomFrechet(trainer.dataset, validation, trainer.device)
        self.board = TensorBoard(run)
        self.watch = Watch(run)
        self.last = (time.monotonic(), 0)  # when the last line was written, and how many images since
        self.best = best_figure(run)
        self.figures: dict[str, float] = {}  # of the last sheet; written with the next line
        (run / SHEETS).mkdir(parents=True, exist_ok=True)

    def step(self) -> None:
        """Counts a step, for the speed."""
        then, images = self.last
        self.last = (then, images + self.trainer.config.batch)

    def metrics(self, progress: Progress, losses: Losses) -> dict[str, float]:
        """Writes a line, and returns it."""
        then, images = self.last
        now = time.monotonic()
        self.last = (now, 0)
        row = {
            **asdict(progress),
            **asdict(losses),
            "images_per_second": images / max(now - then, 1e-9),
            "memory_mb": peak_memory(self.trainer.device),
            **self.figures,
        }
        self.figures = {}
        append(self.run / METRICS, row)
        self.board.write(progress.images, {k: v for k, v in row.items() if k not in ("step", "images", "seconds")})
        self.watch.tell(warnings_of_figures(read_metrics(self.run)[-200:]), progress)
        return row

    def pictures(self, progress: Progress) -> None:
        """A sample sheet of the averaged generator, always with the same latents; curves; the figure of the best."""
        strips = [preview(self.trainer, row.condition) for row in self.rows]
        named = [Strip(row.name, strip) for row, strip in zip(self.rows, strips, strict=True)]
        draw_sheet([Block("", named)]).save(self.run / SHEETS / f"{progress.images:09d}.png")
        if progress.images >= UNTRAINED:
            white = [on_white(strip) for strip in strips]
            self.watch.tell(warnings_of_sheet(self.rows, white, self.trainer.dataset), progress)
        self.keep_best(progress)
        rows = read_metrics(self.run)
        if rows:
            curves(rows, self.run / CURVES)

    def keep_best(self, progress: Progress) -> None:
        """Measures, and keeps a checkpoint of what is better than all before."""
        figure = self.random_frechet.distance(self.trainer.average)
        self.figures = {NAME: figure}
        self.board.write(progress.images, self.figures)
        if self.best is None or figure < self.best:
            save_best(self.run, progress, self.trainer.state(), figure)
            self.best = figure

    def close(self) -> None:
        self.board.close()


@torch.no_grad()
def preview(trainer: Trainer, condition: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """A row of a sheet, (COLUMNS, H, H, 3 or 4)."""
    latent = torch.from_numpy(latents(PREVIEW_SEED, range(COLUMNS), trainer.config.latent)).to(trainer.device)
    repeated = torch.from_numpy(condition).to(trainer.device).expand(COLUMNS, -1) if len(condition) else None
    images = trainer.average(latent, repeated)  # (n, 3 or 4, H, H)
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    drawn: npt.NDArray[np.uint8] = pixels.cpu().contiguous().numpy()
    return drawn
