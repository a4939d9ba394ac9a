"""The parts of a report that are about conditions: categories, new combinations, diversity of classes, blends."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unikat_training.evaluation.blends import Blend
from unikat_training.evaluation.condition_accuracy import Mistake
from unikat_training.evaluation.results import Evaluation
from unikat_training.markdown import percent, table


def combination_table(evaluation: Evaluation) -> str:
    """Of combinations that were never trained on; empty where none was held out."""
    found = evaluation.combinations
    if found is None:
        return ""
    head = ("recognised", "new, drawn", "known, drawn", "share", "new, real", "known, real")
    rows = [
        (a.attribute, *(f"{value:.1%}" for value in (a.unseen, a.seen, a.share, a.real_unseen, a.real_seen)))
        for a in found.accuracies
    ]
    return (
        f"New combinations: {found.combinations:,} combinations of {', '.join(found.over)} were kept from training. "
        f"{found.count:,} pictures were drawn of them at truncation {found.truncation:g}; {found.real:,} real ones are "
        "the limit. (The classifier has seen others of these combinations; the model has seen none.)\n\n"
        + table(head, rows)
    )


def wish_table(evaluation: Evaluation) -> str:
    rows = [(each.name, ", ".join(each.categories), percent(each.recognised)) for each in evaluation.wishes]
    told = (
        "Wishes that the data cannot contain: categories that never occur together in any of its pictures. The "
        "classifier has not seen such pictures either; look at them."
    )
    head = ("wish", "attributes", "drawings in which the classifier finds all of it")
    return f"{told}\n\n{table(head, rows)}" if rows else ""


def class_table(evaluation: Evaluation) -> str:
    """The classifier, and what it says of each category."""
    rows = [
        (
            each.attribute,
            c.category,
            *(percent(c.generated), mistaken(c.generated_mistake), f"{c.generated_count:,}"),
            *(percent(c.real), mistaken(c.real_mistake), f"{c.real_count:,}"),
        )
        for each in evaluation.default.condition_accuracy
        for c in each.categories
    ]
    kinds = ("generated", "real")
    columns = [f"{kind}: {what}" for kind in kinds for what in ("recognised", "mostly mistaken for", "pictures")]
    truncation = f"Category by category, at truncation {evaluation.default.truncation:g}:"
    return (
        "\n\n".join((classifier_accuracy(evaluation), truncation, table(("attribute", "category", *columns), rows)))
        if rows
        else ""
    )


def classifier_accuracy(evaluation: Evaluation) -> str:
    """How good the classifier itself is: its accuracy on real pictures, with the standard error."""
    data, told = evaluation.data, []
    for each in evaluation.default.condition_accuracy:
        error = math.sqrt(each.real_accuracy * (1 - each.real_accuracy) / data.test)
        told.append(f"{each.attribute} {each.real_accuracy:.1%} (± {error:.1%})")
    others = f" and {data.taught:,} pictures of combinations that the model was not trained on" if data.taught else ""
    return (
        f"The classifier was trained on the {data.trained:,} training pictures{others}; it is right for these shares "
        f"of the {data.test:,} test pictures: {', '.join(told)}. Where it is often wrong about real pictures it "
        "says little about generated ones: read the two side by side."
    )


def mistaken(mistake: Mistake | None) -> str:
    return f"{mistake.category} {mistake.share:.0%}" if mistake else "–"


def diversity_table(evaluation: Evaluation) -> str:
    rows = [(each.name, f"{each.share:.2f}", f"{each.count:,}") for each in evaluation.default.diversity]
    head = ("class", "diversity, of that of its real pictures", "generated")
    return table(head, rows) if rows else ""


def blend_table(blends: Sequence[Blend]) -> str:
    between, monotone = (sum(getattr(b, name) for b in blends) for name in ("between", "monotone"))
    rows = [
        (
            f"{b.attribute}: {b.one} – {b.other}",
            " ".join(f"{value:.2f}" for value in b.share),
            f"{b.mass[len(b.mass) // 2]:.2f}",
            percent(b.mixed),
            "yes" if b.monotone else "no",
            "yes" if b.between else "no",
        )
        for b in blends
    ]
    head = (
        "blend",
        "share of the second at 0, .25, .5, .75, 1",
        "both, at .5",
        "mixed",
        "monotone",
        "half lies between",
    )
    return f"Blends: of {len(blends)} pairs {between} lie between, {monotone} are monotone.\n\n" + table(head, rows)
