"""An evaluation for readers: Markdown, a table in the terminal, the metrics of `model.json`, a section of the card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from unikat.terminal import Console
from unikat.v1.model_pb2 import Metric
from unikat_training.evaluation.hashing import NEAR
from unikat_training.evaluation.headline import headline
from unikat_training.evaluation.memorisation import BRIGHTNESS, CLOSE, CONTROLS, NOISE, SHIFT
from unikat_training.evaluation.results import Evaluation, Sampled
from unikat_training.evaluation.sections import blend_table, class_table, combination_table, diversity_table, wish_table
from unikat_training.evaluation.sheets import Sheets
from unikat_training.evaluation.similarity import NEIGHBOURS, SUBSET
from unikat_training.markdown import number, table

JSON, MARKDOWN = "evaluation.json", "evaluation.md"


@dataclass(frozen=True)
class Line:
    """A figure of every model and the limit, which is what real pictures reach."""

    name: str
    meaning: str
    limit: float
    values: tuple[float, ...]
    copies: float | None = None  # of figures of copying: what slightly changed training pictures reach


def columns(evaluation: Evaluation) -> list[Sampled]:
    return [*evaluation.samples, *evaluation.references]


def titles(evaluation: Evaluation) -> list[str]:
    """Of the columns. A reference's note comes after its name, where nobody can overlook it."""
    named = [(each, f"{each.model} ({each.note})" if each.note else each.model) for each in columns(evaluation)]
    return [f"{name}, truncation {each.truncation:g}" for each, name in named]


SIMILARITY = {
    "frechet": ("Fréchet distance", "lower is nearer"),
    "kid": ("KID", f"lower is nearer; around 0 for pictures of the same kind; subsets of up to {SUBSET}"),
    "density": ("density", f"how densely real pictures lie around them, by {NEIGHBOURS} neighbours"),
    "coverage": ("coverage", "share of the real pictures that have one of them near"),
}
MANIFOLDS = {
    "precision": ("precision", "share of the pictures in the ball around any real one"),
    "recall": ("recall", "share of the real pictures in the ball around any of them"),
}
CAVEAT = (
    f"Precision and recall (Kynkäänniemi et al. 2019), balls up to the {NEIGHBOURS}-th neighbour. Read neither by "
    "itself: a picture far from all others has a ball that holds nearly everything, so that noise has once "
    "reached a precision of 0.59. Density counts in how many balls a picture lies, and coverage asks for the real "
    "pictures' balls alone (Naeem et al. 2020)."
)
MEMORISATION = {
    "close": ("closer than test pictures", f"share nearer to training than the nearest {CLOSE:.0%} of test pictures"),
    "farther": ("farther than test pictures", "probability to lie farther from training than a test picture"),
    "z": ("copying z", "of that; far below 0: copying (Meehan et al. 2020, one cell)"),
    "authentic": ("authentic", "share farther from its training neighbour than that from its own"),
    "near_copies": ("near copies", f"share whose perceptual hash differs in at most {NEAR:.0%} of the bits"),
}


def lines(evaluation: Evaluation) -> Iterator[Line]:
    """Everything that is one number a model, without copying."""
    models = columns(evaluation)
    yield from similarity_lines(evaluation, SIMILARITY)
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


def similarity_lines(evaluation: Evaluation, figures: Mapping[str, tuple[str, str]]) -> Iterator[Line]:
    """Of each extractor's features."""
    models = columns(evaluation)
    for position, limit in enumerate(evaluation.limit.similarity):
        for field, (name, meaning) in figures.items():
            values = tuple(getattr(each.similarity[position], field) for each in models)
            yield Line(f"{name} in {limit.features}", meaning, getattr(limit, field), values)


def copying_lines(evaluation: Evaluation) -> Iterator[Line]:
    """The limit is what pictures reach that nobody has seen, `copies` what copies reach."""
    limit = evaluation.limit
    for field, (name, meaning) in MEMORISATION.items():
        values = tuple(getattr(each.memorisation, field) for each in columns(evaluation))
        yield Line(name, meaning, getattr(limit.memorisation, field), values, getattr(limit.copies, field))


def markdown(evaluation: Evaluation) -> str:
    """The whole report."""
    detail = f"{CAVEAT}\n\n{figure_table(evaluation, similarity_lines(evaluation, MANIFOLDS))}"
    parts = [f"# Evaluation of {evaluation.model}", *body(evaluation), detail]
    return "\n\n".join(parts) + "\n"


def body(evaluation: Evaluation) -> list[str]:
    """Its paragraphs and tables, without a heading: the card has them too."""
    parts = [measured_on(evaluation)]
    if evaluation.warnings:
        parts.append("\n".join(f"- **Warning:** {warning}" for warning in evaluation.warnings))
    parts.append(headline(evaluation))
    parts.append(figure_table(evaluation, lines(evaluation)))
    deviations = "; ".join(f"{s.features} {s.kid_std:.2g}" for s in evaluation.default.similarity)
    parts.append(f"KID's deviation over its subsets: {deviations}.")
    parts.append(copying_table(evaluation))
    told = (combination_table, wish_table, class_table, diversity_table)
    parts += [part for section in told if (part := section(evaluation))]
    if evaluation.blends:
        parts.append(blend_table(evaluation.blends))
    parts.append(how(evaluation))
    return parts


def figure_table(evaluation: Evaluation, shown: Iterable[Line]) -> str:
    head = ("figure", "real pictures (limit)", *titles(evaluation), "what it is")
    return table(head, [(line.name, number(line.limit), *map(number, line.values), line.meaning) for line in shown])


def copying_table(evaluation: Evaluation) -> str:
    """With both controls."""
    head = ("copying", "copies (positive control)", "held-out pictures (control)", *titles(evaluation), "what it is")
    rows = [
        (line.name, number(line.copies or 0), number(line.limit), *map(number, line.values), line.meaning)
        for line in copying_lines(evaluation)
    ]
    return (
        f"Copies are up to {CONTROLS} training pictures, each moved by at most {SHIFT:.1%} of its side, and "
        f"changed by at most {BRIGHTNESS} + {NOISE} of 255 grey levels; a figure that does not tell them from held-out "
        "pictures says nothing about copying.\n\n" + table(head, rows)
    )


def measured_on(evaluation: Evaluation) -> str:
    data = evaluation.data
    kept = "kept from training" if data.clean else "**not known to be kept from training**"
    return (
        f"{evaluation.default.count:,} pictures a column, drawn by `generator.onnx` under the conditions of the "
        f"training pictures in their shares, against {data.test:,} test pictures ({data.test_name}; {kept}); "
        f"{data.trained:,} training pictures, in features of "
        f"{evaluation.judge}. The limit puts training pictures in the place of generated ones, and "
        "test pictures for the figures of copying. A Fréchet distance is comparable only in the same features and "
        "numbers of pictures: few pictures make it larger, the limit's too, so that it flatters in proportion to the "
        "limit; KID has no such bias."
    )


def how(evaluation: Evaluation) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.versions.items())
    seeds = ", ".join(f"{name} {seed}" for name, seed in evaluation.seeds.items())
    return f"Seeds: {seeds}. Versions: {versions}. It took {evaluation.seconds:.0f} s."


def show(evaluation: Evaluation, console: Console) -> None:
    """The table and the warnings, in the terminal."""
    shown = Table("figure", "limit", *titles(evaluation), title=f"Evaluation of {evaluation.model}")
    for line in (*lines(evaluation), *copying_lines(evaluation)):
        shown.add_row(line.name, number(line.limit), *map(number, line.values))
    console.print(shown)
    for warning in evaluation.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def write_report(evaluation: Evaluation, sheets: Sheets, folder: Path) -> None:
    """`evaluation.json`, `evaluation.md` and the PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(evaluation.to_json(), "utf-8")
    pictures = "\n\n".join(f"![{name}]({name})" for name in sheets.files)
    (folder / MARKDOWN).write_text(f"{markdown(evaluation)}\n{pictures}\n", "utf-8")
    for name, content in sheets.files.items():
        (folder / name).write_bytes(content)


def metrics(evaluation: Evaluation) -> list[Metric]:
    """What goes into `model.json`: every line of the model itself, at each truncation."""
    out = []
    for line in (*lines(evaluation), *copying_lines(evaluation)):
        limits = f"real pictures: {number(line.limit)}"
        if line.copies is not None:
            limits += f"; slightly changed training pictures: {number(line.copies)}"
        for sampled, value in zip(evaluation.samples, line.values, strict=False):
            where = f"truncation {sampled.truncation:g}"
            out.append(
                Metric(
                    name=f"{line.name} ({where})",
                    value=value,
                    description=f"{line.meaning}; {limits}; {sampled.count:,} pictures",
                )
            )
    return out
