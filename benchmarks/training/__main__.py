"""`python -m benchmarks.training`: the tables of docs/training.md; `--write` puts them there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.figures import ROOT, write
from benchmarks.training import best_of, comparison, few, pilots, speed
from benchmarks.training.contenders import CONTENDERS, Course
from unikat_training.evaluation.settings import Effort

RESULTS = Path(__file__).parent / "results"
MINUTES = 10.0
SAMPLES = 5_000

app = typer.Typer(help="The tables of docs/training.md; --write puts them there.", no_args_is_help=True)
Emoji = Annotated[Path, typer.Option(help="Made by `unikat prepare emoji`.")]
Write = Annotated[bool, typer.Option("--write", help="Write it into docs/training.md.")]
DATA = ROOT / "data"


@app.command()
def compare(
    emoji: Emoji = DATA / "emoji-32",
    fashion: Annotated[Path, typer.Option(help="Made by `unikat prepare fashion-mnist`.")] = DATA
    / "fashion-mnist-train-32",
    fashion_test: Annotated[Path, typer.Option(help="Made by the same with `--split test`.")] = DATA
    / "fashion-mnist-test-32",
    minutes: Annotated[float, typer.Option(help="CPU time of each training.", min=0.05)] = MINUTES,
    samples: Annotated[int, typer.Option(help="Drawings that are measured.", min=10)] = SAMPLES,
    steps: Annotated[int, typer.Option(help="Of the classifier's training.", min=1)] = Effort.steps,
    only: Annotated[list[str] | None, typer.Option(help="Only this contender; may be repeated.")] = None,
    work: Annotated[Path, typer.Option(help="Folder of runs and models: what is in it is not trained again.")] = ROOT
    / "runs"
    / "comparison",
    results: Annotated[Path, typer.Option(help="Folder of results: what is in it is not measured again.")] = RESULTS,
    do_write: Write = False,
) -> None:
    """Train everyone for the same CPU time on the same pictures, and measure them. An interrupted one goes on."""
    names = only or list(CONTENDERS)
    if unknown := sorted(set(names) - set(CONTENDERS)):
        raise typer.BadParameter(f"--only: {', '.join(unknown)} not among {', '.join(CONTENDERS)}")
    if do_write and only:
        raise typer.BadParameter("--write puts the whole table there: leave out --only")
    torch.set_num_threads(1)
    plan = comparison.Plan(minutes, Effort(samples=samples, steps=steps), names, work, results)
    lines, sheets = [], {}
    for course in (Course("emoji", emoji), Course("fashion-mnist", fashion, fashion_test)):
        found = comparison.compare(course, plan, lambda text: typer.echo(text, err=True))
        lines += comparison.lines_of(course, plan, found)
        sheets[course.name] = comparison.sheet(course, plan)
        (plan.work / f"{course.name}.png").write_bytes(sheets[course.name])
    typer.echo("\n".join(lines))
    if do_write:
        comparison.publish(lines[:-1], sheets)


@app.command("speed")
def measure_speed(
    emoji: Emoji = DATA / "emoji-32",
    rounds: Annotated[int, typer.Option(help="Of which the median is taken.", min=1)] = 3,
    steps: Annotated[int, typer.Option(help="Of a round.", min=1)] = speed.STEPS,
    do_write: Write = False,
) -> None:
    """Measure what penalties, number formats, memory formats and the compiler cost or bring."""
    dataset = speed.load(emoji)
    for name, measure in (("penalties", speed.penalties), ("precision", speed.precisions)):
        lines = measure(dataset, rounds, steps)
        typer.echo("\n".join([*lines, ""]))
        if do_write:
            write(name, lines, comparison.GUIDE)


@app.command("pilots")
def run_pilots(
    portraits: Annotated[Path, typer.Option(help="Made by `unikat prepare portraits`.")] = DATA / "portraits-64",
    minutes: Annotated[float, typer.Option(help="CPU time of each training.", min=0.05)] = 5.0,
    samples: Annotated[int, typer.Option(help="Drawings that are measured.", min=10)] = 2_000,
    jobs: Annotated[int, typer.Option(help="Pilots that are trained at the same time.", min=1)] = 2,
    work: Annotated[Path, typer.Option(help="Folder of runs: what is in it is not trained again.")] = ROOT
    / "runs"
    / "pilots",
    do_write: Write = False,
) -> None:
    """Train `projected` with settings on and off for the same CPU time, and measure them on the validation split."""
    pilots.train_all(portraits, work, minutes, jobs)
    torch.set_num_threads(jobs)
    found = pilots.pilots(portraits, work, minutes, samples, lambda text: typer.echo(text, err=True))
    typer.echo("\n".join(pilots.table(found)))
    if do_write:
        pilots.keep(RESULTS / "pilots.jsonl", found)
        pilots.publish(found)


@app.command("few")
def run_few(
    parent: Annotated[
        str, typer.Option("--from", help="What to begin from: a bundle, a run, or a model.")
    ] = "portraits",
    minutes: Annotated[float, typer.Option(help="CPU time of each training.", min=0.05)] = 5.0,
    jobs: Annotated[int, typer.Option(help="Trainings at the same time.", min=1)] = 2,
    work: Annotated[Path, typer.Option(help="Folder of data and runs: what is in it is not made again.")] = ROOT
    / "runs"
    / "few",
    do_write: Write = False,
) -> None:
    """Train on 50, 100 and 300 pictures from nothing and from a model of something else, for the same CPU time."""
    found, sheet = few.measured(work, parent, minutes, jobs, lambda text: typer.echo(text, err=True))
    typer.echo("\n".join(few.table(found)))
    (work / "few.png").write_bytes(sheet)
    if do_write:
        few.publish(RESULTS, found, sheet)


@app.command("best-of")
def run_best_of(
    run: Annotated[Path, typer.Argument(help="A run of the discriminator `projected`; its latest checkpoint.")],
    data: Annotated[Path, typer.Argument(help="The data set it was trained on.")],
    samples: Annotated[int, typer.Option(help="Images that are kept and measured.", min=10)] = 2_000,
    do_write: Write = False,
) -> None:
    """Measure what keeping the best of k drawings gains, what it costs in recall, and in time."""
    torch.set_num_threads(1)
    lines = best_of.table(best_of.compared(run, data, samples, lambda text: typer.echo(text, err=True)))
    typer.echo("\n".join(lines))
    if do_write:
        write("best of", lines, comparison.GUIDE)


if __name__ == "__main__":
    app()
