"""`python -m benchmarks.chaos`: batches while worker, service and Valkey are killed; are the bytes the same?

Each batch is drawn once more, in another folder, by a stack that nothing happens to, and all files are compared.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pyarrow.parquet as pq
import typer

from benchmarks.batches.drawing import LAYOUTS
from benchmarks.batches.progress import follow, seconds
from benchmarks.figures import ROOT, machine, newest, write
from tests.end_to_end.shop import Shop, plan, running_shop
from tests.support.batch_calls import difference, tree
from tests.support.chaos import Chaos, Kill, Victim
from unikat.batches.verify import verify
from unikat.bundle import key_of
from unikat.v1 import batches_pb2 as pb


@dataclass(frozen=True)
class Trial:
    """A batch that was drawn through chaos, and where."""

    seed: int
    layout: str
    batch: pb.Batch
    folder: Path

    @property
    def written(self) -> list[float]:
        """Unix times at which its files were written; renaming keeps them."""
        return sorted(path.stat().st_mtime for path in self.folder.rglob("*") if path.is_file())


def draw(shop: Shop, name: str, images: int, seed: int, layout: str) -> Trial:
    """A batch, drawn to its end."""
    batch = shop.create(name, plans=plan(images), seed=seed, layout=LAYOUTS[layout])
    ended = follow(shop.calls, batch, f"{images:,} images, {layout}, {name}")
    if ended.state != pb.Batch.STATE_SUCCEEDED:
        raise SystemExit(f"the batch did not succeed:\n{ended}")
    return Trial(seed, layout, ended, shop.open_folder / name)


def through_chaos(shop: Shop, images: int, minutes: float, chaos: Chaos, first_seed: int) -> list[Trial]:
    """Batches, one after another, each with its own seed, until the minutes are over and the last has ended."""
    until = time.monotonic() + 60 * minutes
    trials: list[Trial] = []
    layouts = itertools.cycle(LAYOUTS)
    with chaos:
        while not trials or time.monotonic() < until:
            seed = first_seed + len(trials)
            trials.append(draw(shop, f"chaos-{seed}", images, seed, next(layouts)))
    return trials


def judge(shop: Shop, trial: Trial, images: int) -> tuple[str, list[str]]:
    """A row of the table, and what is wrong."""
    calm = draw(shop, f"calm-{trial.seed}", images, trial.seed, trial.layout)
    wrong = [f"seed {trial.seed}: {name} differs" for name in difference(tree(trial.folder), tree(calm.folder))]
    report = verify(trial.batch.destination)
    wrong += [f"seed {trial.seed}: {problem}" for problem in report.problems]
    if not report.is_complete or report.extra_count:
        wrong.append(f"seed {trial.seed}: {report.missing_count} images are missing, {report.extra_count} files extra")
    indexes = pq.read_table(trial.folder / "manifest.parquet", columns=["index"])["index"].to_pylist()
    if indexes != list(range(images)):
        wrong.append(f"seed {trial.seed}: the manifest has {len(indexes)} rows, {len(set(indexes))} different")
    verdict = "identical" if not wrong else f"{len(wrong)} differences"
    row = (
        f"| {images:,} images, {trial.layout} | {seconds(trial.batch):.0f} | {seconds(calm.batch):.0f} "
        f"| {max(pauses(trial)):.1f} | {verdict} |"
    )
    return row, wrong


def pauses(trial: Trial) -> list[float]:
    """Seconds between one written file and the next."""
    return [after - before for before, after in itertools.pairwise(trial.written)]


def kill_lines(kills: list[Kill], trials: list[Trial]) -> list[str]:
    """Markdown: kills by victim, and the seconds until the next file was written."""
    moments = sorted(moment for trial in trials for moment in trial.written)
    lines = ["| killed | times | next file after: median s | longest s |", "| --- | ---: | ---: | ---: |"]
    for victim in Victim:
        at = [kill.at for kill in kills if kill.victim is victim]
        waits = [next(moment for moment in moments if moment > a) - a for a in at if a < moments[-1]]
        median, longest = (statistics.median(waits), max(waits)) if waits else (0.0, 0.0)
        lines.append(f"| {victim} | {len(at)} | {median:.2f} | {longest:.2f} |")
    return lines


def main(
    minutes: Annotated[float, typer.Option(help="Chaos lasts at least so long (minutes).", min=0)] = 10.0,
    images: Annotated[int, typer.Option(help="Images of a batch.", min=1)] = 100_000,
    model: Annotated[str, typer.Option(help="Its newest version draws.")] = "emoji",
    models: Annotated[Path, typer.Option(help="Folder of bundles.")] = ROOT / "models",
    every: Annotated[tuple[float, float], typer.Option(help="Shortest and longest time between kills (s).")] = (5, 15),
    workers: Annotated[int, typer.Option(help="Workers that draw.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Decides the kills, and what is drawn.", min=0)] = 1,
    quick: Annotated[bool, typer.Option(help="One minute, 4,000 images, a kill every 2 to 5 s.")] = False,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the images, removed afterwards; default: temporary.")
    ] = None,
    do_write: Annotated[bool, typer.Option("--write", help="Write the figures into benchmarks/README.md.")] = False,
) -> None:
    """Draw batches through kill -9 on worker, service and Valkey; exits with 1 if a byte is not what it should be."""
    if do_write and quick:
        raise typer.BadParameter("--write puts no quick figures there: leave out --quick")
    if quick:
        minutes, images, every = 1.0, 4_000, (2, 5)
    bundle = newest(models, model)
    with tempfile.TemporaryDirectory(dir=to) as folder:
        with running_shop(models, Path(folder), key_of(bundle.model), workers, UNIKAT_THREADS="0") as shop:
            chaos = Chaos(shop.stack, seed, every)
            began = time.time()
            trials = through_chaos(shop, images, minutes, chaos, seed)
            lasted = time.time() - began
        for kill in chaos.kills:
            print(f"{kill.at - began:7.1f} s  {kill.victim} killed, started again {kill.down_s:.2f} s later")
        with running_shop(models, Path(folder), key_of(bundle.model), workers, UNIKAT_THREADS="0") as shop:
            judged = [judge(shop, trial, images) for trial in trials]
        lines = [
            f"{machine(bundle)}; {workers} worker(s); {len(chaos.kills)} kills in {lasted / 60:.1f} minutes.", "",
            "| batch | s, with kills | s, without | longest pause s | bytes |", "| --- | ---: | ---: | ---: | ---: |",
            *(row for row, _ in judged), "", *kill_lines(chaos.kills, trials),
        ]  # fmt: skip
    print("\n".join(lines))
    wrong = [problem for _, problems in judged for problem in problems]
    if do_write and not wrong:
        write("chaos", lines)
    if wrong:
        raise SystemExit("\n".join(wrong[:50]))


if __name__ == "__main__":
    typer.run(main)
