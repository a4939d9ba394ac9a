"""An evaluation for readers: Markdown, a table in the terminal, the metrics of `model.json`, a section of the card."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unikat.v1.model_pb2 import Metric
from unikat_training.evaluation.blends import Blend
from unikat_training.evaluation.condition_accuracy import Mistake
from unikat_training.evaluation.hashing import NEAR
from unikat_training.evaluation.memorisation import CLOSE, Memorisation
from unikat_training.evaluation.results import Evaluation, Sampled
from unikat_training.evaluation.sheets import Sheets
from unikat_training.evaluation.similarity import NEIGHBOURS, SUBSET, Similarity

JSON, MARKDOWN = "evaluation.json", "evaluation.md"


@dataclass(frozen=True)
class Line:
    """A figure of every model and the limit, which is what real pictures reach."""

    name: str
    meaning: str
    limit: float
    values: tuple[float, ...]


def columns(evaluation: Evaluation) -> list[Sampled]:
    return [*evaluation.samples, *evaluation.references]


def titles(evaluation: Evaluation) -> list[str]:
    """Of the columns. A reference's note comes after its name, where nobody can overlook it."""
    named = [(each, f"{each.model} ({each.note})" if each.note else each.model) for each in columns(evaluation)]
    return [f"{name}, truncation {each.truncation:g}" for each, name in named]


SIMILARITY = {
    "frechet": ("Fréchet distance", "lower is nearer"),
    "kid": ("KID", f"lower is nearer; around 0 for pictures of the same kind; subsets of up to {SUBSET}"),
    "precision": ("precision", f"share of the pictures among real ones, by {NEIGHBOURS} neighbours"),
    "recall": ("recall", "share of the real pictures among them"),
    "density": ("density", "how densely real pictures lie around them"),
    "coverage": ("coverage", "share of the real pictures that have one of them near"),
}
MEMORISATION = {
    "close": ("closer than test pictures", f"share nearer to training than the nearest {CLOSE:.0%} of test pictures"),
    "farther": ("farther than test pictures", "probability to lie farther from training than a test picture"),
    "z": ("copying z", "of that; far below 0: copying (Meehan et al. 2020, one cell)"),
    "authentic": ("authentic", "share farther from its training neighbour than that from its own"),
    "near_copies": ("near copies", f"share whose perceptual hash differs in at most {NEAR:.0%} of the bits"),
}


def lines(evaluation: Evaluation) -> Iterator[Line]:
    """Everything that is one number a model."""
    models = columns(evaluation)
    for position, limit in enumerate(evaluation.limit.similarity):
        for field, (name, meaning) in SIMILARITY.items():
            found = [each.similarity[position] for each in models]
            yield similarity_line(f"{name} in {limit.features}", meaning, field, limit, found)
    for position, first in enumerate(evaluation.default.condition_accuracy):
        own = [each.condition_accuracy[position] for each in models]
        values = tuple(each.accuracy for each in own)
        yield Line(f"condition accuracy, {first.attribute}", "by the classifier", first.real_accuracy, values)
        shares = tuple(each.share for each in own)
        yield Line(f"… of the classifier's own, {first.attribute}", "1: as on real pictures", 1.0, shares)
        above = tuple(each.kappa / each.real_kappa if each.real_kappa > 0 else 0.0 for each in own)
        yield Line(f"… above chance, {first.attribute}", "0: the condition is ignored (ratio of kappas)", 1.0, above)
        scores = tuple(each.score for each in own)
        meaning = "trained on generated pictures, tested on real ones"
        yield Line(f"classification accuracy score, {first.attribute}", meaning, first.real_accuracy, scores)
    if all(each.diversity for each in models):
        worst = tuple(min(d.share for d in each.diversity) for each in models)
        yield Line("least diversity of a class", "of that of its real pictures", 1.0, worst)
    for field, (name, meaning) in MEMORISATION.items():
        yield memory_line(name, meaning, field, evaluation.limit.memorisation, [each.memorisation for each in models])


def similarity_line(name: str, meaning: str, field: str, limit: Similarity, found: Sequence[Similarity]) -> Line:
    return Line(name, meaning, getattr(limit, field), tuple(getattr(each, field) for each in found))


def memory_line(name: str, meaning: str, field: str, limit: Memorisation, found: Sequence[Memorisation]) -> Line:
    return Line(name, meaning, getattr(limit, field), tuple(getattr(each, field) for each in found))


def markdown(evaluation: Evaluation) -> str:
    """The whole report."""
    parts = [f"# Evaluation of {evaluation.model}", *body(evaluation)]
    return "\n\n".join(parts) + "\n"


def body(evaluation: Evaluation) -> list[str]:
    """Its paragraphs and tables, without a heading: the card has them too."""
    parts = [measured_on(evaluation)]
    if evaluation.warnings:
        parts.append("\n".join(f"- **Warning:** {warning}" for warning in evaluation.warnings))
    head = ("figure", "real pictures (limit)", *titles(evaluation), "what it is")
    rows = [(line.name, number(line.limit), *map(number, line.values), line.meaning) for line in lines(evaluation)]
    parts.append(table(head, rows))
    deviations = "; ".join(f"{s.features} {s.kid_std:.2g}" for s in evaluation.default.similarity)
    parts.append(f"KID's deviation over its subsets: {deviations}.")
    parts += [part for part in (class_table(evaluation), diversity_table(evaluation)) if part]
    if evaluation.blends:
        parts.append(blend_table(evaluation.blends))
    parts.append(how(evaluation))
    return parts


def measured_on(evaluation: Evaluation) -> str:
    data = evaluation.data
    kept = "kept from training" if data.clean else "**not known to be kept from training**"
    return (
        f"{evaluation.default.count:,} pictures a column, drawn by `generator.onnx` under the conditions of the "
        f"training pictures in their shares, against {data.test:,} test pictures ({data.test_name}; {kept}); "
        f"{data.trained:,} training pictures. The limit puts training pictures in the place of generated ones, and "
        "test pictures for the figures of copying. A Fréchet distance is comparable only in the same features and "
        "numbers of pictures: few pictures make it larger, the limit's too, so that it flatters in proportion to the "
        "limit; KID has no such bias."
    )


def class_table(evaluation: Evaluation) -> str:
    """The classifier, and what it says of each category."""
    rows = [
        (
            each.attribute,
            c.category,
            *(share(c.generated), mistaken(c.generated_mistake), f"{c.generated_count:,}"),
            *(share(c.real), mistaken(c.real_mistake), f"{c.real_count:,}"),
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
    return (
        f"The classifier was trained on the {data.trained:,} training pictures and is right for these shares of the "
        f"{data.test:,} test pictures: {', '.join(told)}. Where it is often wrong about real pictures it "
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
            share(b.mixed),
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


def how(evaluation: Evaluation) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.versions.items())
    seeds = ", ".join(f"{name} {seed}" for name, seed in evaluation.seeds.items())
    return f"Seeds: {seeds}. Versions: {versions}. It took {evaluation.seconds:.0f} s."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def show(evaluation: Evaluation, console: Console) -> None:
    """The table and the warnings, in the terminal."""
    shown = Table("figure", "limit", *titles(evaluation), title=f"Evaluation of {evaluation.model}")
    for line in lines(evaluation):
        shown.add_row(line.name, number(line.limit), *map(number, line.values))
    console.print(shown)
    for warning in evaluation.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def write_report(evaluation: Evaluation, sheets: Sheets, folder: Path) -> None:
    """`evaluation.json`, `evaluation.md` and the PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(evaluation.to_json())
    pictures = "\n\n".join(f"![{name}]({name})" for name in sheets.files)
    (folder / MARKDOWN).write_text(f"{markdown(evaluation)}\n{pictures}\n")
    for name, content in sheets.files.items():
        (folder / name).write_bytes(content)


def metrics(evaluation: Evaluation) -> list[Metric]:
    """What goes into `model.json`: every line of the model itself, at each truncation."""
    out = []
    for line in lines(evaluation):
        for sampled, value in zip(evaluation.samples, line.values, strict=False):
            where = f"truncation {sampled.truncation:g}"
            out.append(
                Metric(
                    name=f"{line.name} ({where})",
                    value=value,
                    description=f"{line.meaning}; real pictures: {number(line.limit)}; {sampled.count:,} pictures",
                )
            )
    return out
