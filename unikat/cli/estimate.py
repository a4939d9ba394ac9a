"""`--estimate`: what a call or a batch would be, instead of doing it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from unikat.cli.batch.words import seconds
from unikat.cli.output import counted, print_json, stdout

if TYPE_CHECKING:
    from unikat.estimate import Estimate

EstimateOnly = Annotated[
    bool, typer.Option("--estimate", help="Draw nothing; say how much work, time and money it would be.")
]
PricePerHour = Annotated[
    float | None,
    typer.Option(min=0, envvar="UNIKAT_PRICE_PER_HOUR", help="What an hour of one worker costs, for --estimate."),
]


def tell(estimate: Estimate, price_per_hour: float | None, as_json: bool) -> None:
    """Print an estimate, with its price where one is known."""
    price = None if price_per_hour is None else estimate.price(price_per_hour)
    if as_json:
        print_json({"event": "estimate", **asdict(estimate), "price_per_hour": price_per_hour, "price": price})
        return
    for line in _lines(estimate, price_per_hour, price):
        stdout().print(line, markup=False)


def _lines(estimate: Estimate, price_per_hour: float | None, price: float | None) -> list[str]:
    what = f"{counted(estimate.images, 'image')} of {estimate.model}"
    workers = counted(estimate.workers, "worker")
    if estimate.work is None or estimate.expected is None:
        return [f"{what}, {workers}: how long they take is not known, because none has drawn for a call yet."]
    rate = f"{estimate.images_per_second or 0:,.1f} images/s"
    lines = [f"{what}: {seconds(estimate.work)} of work for {workers} ({rate} together)."]
    if estimate.ahead >= 0.05:
        after = f"{seconds(estimate.ahead)} of work are in progress: if all of that comes first, "
        lines.append(f"{after}the last image is there in about {seconds(estimate.expected)}.")
    else:
        lines.append(f"Nothing is in progress: the last image is there in about {seconds(estimate.expected)}.")
    if price is not None:
        lines.append(f"At {price_per_hour:,.2f} for an hour of one worker: {money(price)}.")
    return lines


def money(amount: float) -> str:
    """Two digits behind the point, or as many as show that it is not nothing."""
    return f"{amount:,.2f}" if amount >= 0.1 or amount == 0 else f"{amount:.2g}"
