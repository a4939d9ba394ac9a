"""The figures that a reader is shown first: of every attribute, and with KID beside the Fréchet distance."""

from __future__ import annotations

from collections.abc import Callable

from unikat_training.evaluation.condition_accuracy import ConditionAccuracy
from unikat_training.evaluation.results import Evaluation, Sampled
from unikat_training.evaluation.similarity import Similarity
from unikat_training.markdown import number, percent, table


def headline(evaluation: Evaluation) -> str:
    """A table: real pictures, then the model at each of its truncations."""
    names = [f"truncation {each.truncation:g}" for each in evaluation.samples]
    return table(
        ("headline", "real pictures", *names),
        [*similar(evaluation), *asked(evaluation), *new(evaluation), *ground(evaluation)],
    )


def similar(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """How near to real pictures in the judge's features, and how near to copies of them."""
    limit, found = evaluation.limit.similarity[0], [each.similarity[0] for each in evaluation.samples]

    def row(name: str, told: Callable[[Similarity], str]) -> tuple[str, ...]:
        return (f"{name} in {evaluation.judge}", told(limit), *map(told, found))

    def copies(each: Sampled) -> str:
        return f"{each.memorisation.near_copies:.1%}"

    real, caught = (each.near_copies for each in (evaluation.limit.memorisation, evaluation.limit.copies))
    return [
        row("KID", lambda each: f"{number(each.kid)} ± {number(each.kid_std)}{times(each.kid, limit.kid)}"),
        row("Fréchet distance", lambda each: f"{number(each.frechet)}{times(each.frechet, limit.frechet)}"),
        row("coverage", lambda each: f"{each.coverage:.2f}"),
        row("density", lambda each: f"{each.density:.2f}"),
        (
            "near copies of training pictures",
            f"{real:.1%} of held-out ones; {caught:.1%} of slightly changed training pictures",
            *map(copies, evaluation.samples),
        ),
    ]


def times(value: float, limit: float) -> str:
    """Where the limit is around 0, as KID's may be, a ratio to it says nothing."""
    return f" ({value / limit:.3g} × real)" if limit > 0 and value != limit else ""


def asked(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """The accuracy of every attribute."""

    def told(each: ConditionAccuracy) -> str:
        return f"{each.accuracy:.1%} ({each.share:.1%} of real)"

    return [
        (
            f"condition accuracy, {first.attribute}",
            f"{first.real_accuracy:.1%}",
            *(told(each.condition_accuracy[position]) for each in evaluation.samples),
        )
        for position, first in enumerate(evaluation.default.condition_accuracy)
    ]


def new(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Combinations that were never trained on, at the default truncation."""
    found = evaluation.combinations
    if found is None:
        return []
    last = found.accuracies[-1]
    blank = ["–"] * (len(evaluation.samples) - 1)
    told = f"{last.unseen:.1%} ({percent(last.share)} of the {last.seen:.1%} of combinations trained on)"
    return [(f"new combinations of {', '.join(found.over)}, all right", f"{last.real_unseen:.1%}", *blank, told)]


def ground(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Where a model with alpha draws nothing, at the default truncation."""
    blank = ["–"] * (len(evaluation.samples) - 1)
    return [
        (f"nothing drawn in the corner {each.corner}", f"{each.real:.1%}", *blank, f"{each.drawn:.1%}")
        for each in evaluation.corners
    ]
