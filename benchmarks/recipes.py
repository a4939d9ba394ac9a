"""`python -m benchmarks recipes`: what a slider's move takes, and what a recipe costs beside a seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.figures import ROOT, machine, newest, percentile, write
from tests.end_to_end.stack import running_stack
from unikat import Studio
from unikat.bundle import Bundle
from unikat.conditions import Schema
from unikat.directions import read_directions
from unikat.recipes.mix import mix_of
from unikat.recipes.sequence import Mutations
from unikat_worker.inputs import feeds
from unikat_worker.rows import Row

WARM: Final = 20  # calls that are not counted
HEADER: Final = ("| one image by Draw | calls | p50 ms | p95 ms | p99 ms |", "| --- | ---: | ---: | ---: | ---: |")

Draw = Callable[[], object]


def recipes(
    model: Annotated[str, typer.Option(help="Model in the folder of bundles.")] = "portraits",
    models: Annotated[Path, typer.Option(help="Folder of bundles.")] = ROOT / "models",
    calls: Annotated[int, typer.Option(help="Calls of each kind.", min=20)] = 400,
    images: Annotated[int, typer.Option(help="Images of a call whose throughput is measured.", min=16)] = 512,
    to_readme: Annotated[bool, typer.Option("--write", help="Put the table into benchmarks/README.md.")] = False,
) -> None:
    """One client, one service, one worker; the kinds of calls take turns, so that a busy moment meets all of them."""
    bundle = newest(models, model)
    costs = cost_lines(bundle)
    with running_stack(models, fsync="no") as stack, Studio(stack.target) as studio:
        lines = [*slider_table(studio, model, calls), "", *rate_lines(studio, model, images)]
    lines += ["", *costs, "", f"{machine(bundle)}."]
    print("\n".join(lines))
    if to_readme:
        write("recipes", lines)


def slider_table(studio: Studio, model: str, calls: int) -> list[str]:
    """Latencies of calls one after the other."""
    where = {
        attribute.name: attribute.categories[0].name for attribute in studio.model(model).attributes
    }  # as a page that shows one work has them
    directions = [direction.name for direction in studio.model(model).directions]
    moves = count()

    def share() -> float:
        return next(moves) % 997 / 997

    kinds: dict[str, Draw] = {
        "a seed": lambda: studio.draw(model, where, seed=next(moves)),
        "a mix of two, weights that change": lambda: studio.draw(
            model, where, recipe=mix_of([((7, 0), share()), ((9, 3), 1.0)])
        ),
        "a mix of eight": lambda: studio.draw(
            model, where, recipe=mix_of([((7, i), 1.0 + (i + 1) * share()) for i in range(8)])
        ),
        "a mutation": lambda: studio.draw(
            model, where, recipe=Mutations(mix_of([((7, 0), 1.0)]), 0.3, 1), index=next(moves)
        ),
    }
    if directions:
        kinds["a shift along a direction"] = lambda: studio.draw(
            model, where, recipe=mix_of([((7, 0), 1.0)], [(directions[0], 6 * share() - 3)])
        )
    took = dict(zip(kinds, _taken(list(kinds.values()), calls), strict=True))
    rows = [f"| {name} | {calls} | {_ms(of, 0.5)} | {_ms(of, 0.95)} | {_ms(of, 0.99)} |" for name, of in took.items()]
    return [*HEADER, *rows]


def rate_lines(studio: Studio, model: str, images: int, rounds: int = 3) -> list[str]:
    """Images a second of one call, best of some that take turns."""
    parent = Mutations(mix_of([((7, 0), 1.0)]), 0.3, 1)
    best = {"seed": 0.0, "recipe": 0.0}
    for turn in range(rounds):
        for kind in best:
            began = time.perf_counter()
            if kind == "seed":
                drawn = studio.generate(model, count=images, seed=turn)
            else:
                drawn = studio.generate(model, recipe=parent, count=images, first_index=turn * images)
            assert sum(1 for _ in drawn) == images
            best[kind] = max(best[kind], images / (time.perf_counter() - began))
    share = best["recipe"] / best["seed"]
    return [
        f"A call for {images} images: {best['seed']:.0f} images/s of a seed, {best['recipe']:.0f} of a mutation "
        f"({share:.0%}), best of {rounds} by turns."
    ]


def cost_lines(bundle: Bundle, rounds: int = 200) -> list[str]:
    """CPU time of an image's inputs in a worker, alone and in a batch of 16: the part that a recipe makes longer."""
    schema, model = Schema(bundle.model), bundle.model
    vectors = {direction.name: direction.vector for direction in read_directions(bundle)}
    mixes = {
        "a seed": None,
        "a mix of two": mix_of([((7, 0), 1.0), ((9, 3), 2.0)]),
        "a mix of eight": mix_of([((7, i), 1.0 + i) for i in range(8)]),
    }
    lines = []
    for size in (1, 16):
        best = dict.fromkeys(mixes, math.inf)
        for turn in range(rounds):
            for name, mix in mixes.items():
                rows = [Row({}, 7, size * turn + at, 1.0, mix=mix) for at in range(size)]
                began = time.thread_time()
                feeds(schema, model, rows, vectors)
                best[name] = min(best[name], (time.thread_time() - began) / size)
        told = ", ".join(f"{name} {1e6 * seconds:.0f}" for name, seconds in best.items())
        lines.append(f"CPU µs an image for its inputs, batches of {size}: {told} (best of {rounds} by turns).")
    return lines


def _taken(kinds: list[Draw], calls: int) -> Iterator[list[float]]:
    """Seconds that each call took, kind by kind; the kinds take turns."""
    took: list[list[float]] = [[] for _ in kinds]
    for turn in range(WARM + calls):
        for draw, of in zip(kinds, took, strict=True):
            began = time.perf_counter()
            draw()
            if turn >= WARM:
                of.append(time.perf_counter() - began)
    return iter(took)


def _ms(seconds: list[float], share: float) -> str:
    return f"{1000 * percentile(seconds, share):.1f}"
